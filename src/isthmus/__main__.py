"""The ``isthmus`` command, also as ``python -m isthmus``."""

import gc


def main() -> None:
    """The entry point; nothing is collected while the modules load, of which nothing is garbage."""
    gc.disable()
    from isthmus import cli

    gc.enable()
    cli.main()


if __name__ == "__main__":
    main()
