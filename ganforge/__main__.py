"""`python -m ganforge`, as torchrun needs it."""

from ganforge.cli import main

if __name__ == "__main__":
    main()
