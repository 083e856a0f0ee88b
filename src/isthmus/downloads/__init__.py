"""Data sets fetched from where they are published, and checked against what was published.

::

    disk       what the operating system refuses, as one sentence; files written whole
    remote     one file over http(s), in parts that survive
    unpack     one archive into one folder, trusting nothing
    manifest   what was fetched, kept beside the data
    progress   what is shown meanwhile
    fetching   a data set: files, unpacked, read, moved into place
    checking   a data set: every file read and compared

All that is not yet a data set lies in ``.isthmus/NAME`` in the data folder, where nothing looks for data.
"""
