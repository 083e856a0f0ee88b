"""The command line. Exit codes: 0; 1 a run failed; 2 bad input; 130 interrupted with everything saved.

Nothing heavy is imported before a command needs it: ``--help`` loads neither torch nor matplotlib.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

from cyclopts import App, CycloptsError

from isthmus import __version__
from isthmus.cli import data, demo, models, papers, store, studies
from isthmus.errors import IsthmusError

__all__ = ["app", "main"]

app = App(
    name="isthmus",
    help="Train networks, branch them under different SGD noise, interpolate and merge them, and measure the line"
    " between them. Start with `isthmus demo`.",
    version=__version__,
    help_format="plaintext",  # Markdown would cost a quarter of the time that --help takes
    suppress_keyboard_interrupt=False,  # ours to tell: see _guarded
)

app.command(data.app)
app.command(studies.run)
app.command(papers.reproduce)
app.command(demo.demo)
app.command(models.models)
app.command(store.show)
app.command(store.forget)
app.command(store.verify)


def main(arguments: list[str] | None = None) -> None:
    """The entry point of the ``isthmus`` command."""
    sys.path.insert(0, os.getcwd())  # package.module:factory is looked up where the user stands
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(_guarded(arguments))


def _terminate(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _guarded(arguments: list[str] | None) -> int:
    try:
        app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()  # here a reader who has left is noticed, at the interpreter's end it would be a traceback
    except CycloptsError as error:
        return _complain(f"{error} See isthmus --help.", 2)
    except IsthmusError as error:
        return _complain(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _complain("Interrupted.", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return _complain(f"{error.filename or 'A file'}: {error.strerror or error}.", 1)
    return 0


def _complain(message: str, code: int) -> int:
    print(f"isthmus: {message}", file=sys.stderr)
    return code
