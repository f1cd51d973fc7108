"""Small things that know nothing of GANs: nested values, states as files, seeds, and what torch keeps to itself."""
