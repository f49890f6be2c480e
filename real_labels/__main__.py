"""Entry point of `python -m real_labels COMMAND`."""

from real_labels.cli import main

if __name__ == "__main__":
    main()
