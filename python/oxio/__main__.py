"""`python -m oxio`: the way in, and nothing else, because this module's names make room for the program's."""

from oxio._cli import main

if __name__ == "__main__":
    main()
