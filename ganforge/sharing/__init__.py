"""Runs as others see them: their records, what tells them apart, bundles, and pages. Nothing here needs torch."""
