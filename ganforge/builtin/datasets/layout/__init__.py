"""Which folders of a dataset hold what: its splits, and its domains or classes.

The only reader of layouts: the datasets, `data inspect` and `data pack` all ask here, so that they cannot disagree.
"""
