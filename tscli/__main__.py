"""`python -m tscli`."""

from tscli.cli.app import main

if __name__ == "__main__":
    main()
