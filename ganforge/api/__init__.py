"""What plugins name: the types that a part is made of, and that the engine promises to keep.

Most parts need none of them: a network is a plain `nn.Module`, a loss a plain function of tensors, an optimizer a
function of parameters. Import these names from `ganforge`, not from here.
"""
