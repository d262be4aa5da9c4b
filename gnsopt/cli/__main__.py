"""``python -m gnsopt.cli``: the same as the console script."""

from gnsopt.cli import main

if __name__ == "__main__":
    main()
