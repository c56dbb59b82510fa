"""Checks of a reader: random access, stable names and digests, copies for workers, missing files that are named."""

from __future__ import annotations

import pickle
from collections.abc import Mapping

from anyclip.errors import DataError, UserError
from anyclip.readers import Reader, create_reader
from anyclip.testing.compare import same
from anyclip.testing.kit import Check, Fault, NotApplicable, check, describe_error
from anyclip.testing.subjects import ReaderSubject

READER: list[Check] = []


@check(READER)
def opens(subject: ReaderSubject) -> str:
    """It opens, has rows and names its columns."""
    reader = subject.reader
    if not isinstance(reader, Reader):
        raise Fault(f"{type(reader).__name__} is not a Reader.", "subclass anyclip.Reader")
    if len(reader) < 2:
        raise Fault(f"the example has {len(reader)} rows.", "let `example` write at least two")
    columns = reader.columns()
    if not columns or not all(isinstance(c, str) for c in columns):
        raise Fault(f"columns() gives {columns!r}.", "return the names that rows may have")
    return f"{len(reader)} rows, columns {', '.join(columns)}"


@check(READER)
def rows_are_mappings(subject: ReaderSubject) -> None:
    """A row is a mapping whose keys `columns` lists."""
    reader = subject.reader
    known = set(reader.columns())
    for row in range(min(len(reader), 8)):
        values = reader[row]
        if not isinstance(values, Mapping):
            raise Fault(f"row {row} is a {type(values).__name__}.", "return a mapping from column to value")
        if extra := set(values) - known:
            raise Fault(f"row {row} has columns that columns() lacks: {', '.join(sorted(extra))}.", "list every column")


@check(READER)
def access_is_random(subject: ReaderSubject) -> None:
    """Rows do not depend on what was read before; numbers outside raise IndexError."""
    reader, other = subject.reader, subject.open()
    order = list(range(min(len(reader), 8)))
    forward = {row: reader[row] for row in order}
    for row in reversed(order):
        if not same(dict(other[row]), dict(forward[row])):
            raise Fault(
                f"row {row} differs when rows are read in another order.", "compute a row from its number alone"
            )
    try:
        reader[len(reader)]
    except IndexError:
        return
    except Exception as error:
        raise Fault(f"row {len(reader)} raises {describe_error(error)}", "raise IndexError") from error
    raise Fault(f"row {len(reader)} of {len(reader)} exists.", "raise IndexError outside 0..len-1")


@check(READER)
def travels_to_workers(subject: ReaderSubject) -> str:
    """It can be pickled, and the copy reads the same rows under the same names."""
    reader = subject.reader
    try:
        packed = pickle.dumps(reader)
        other = pickle.loads(packed)
    except Exception as error:
        raise Fault(
            f"it cannot be pickled: {describe_error(error)}", "leave open files out (__getstate__) and open them again"
        ) from error
    for row in range(min(len(reader), 8)):
        if not same(dict(other[row]), dict(reader[row])) or other.sample_id(row) != reader.sample_id(row):
            raise Fault(f"a copy reads row {row} otherwise.", "carry every option to the copy")
    return f"{len(packed):,} bytes"


@check(READER)
def names_are_stable(subject: ReaderSubject) -> None:
    """Sample names are strings, each row has its own, and a second opening gives the same."""
    reader, other = subject.reader, subject.open()
    names = [reader.sample_id(row) for row in range(min(len(reader), 64))]
    if len(set(names)) != len(names) or not all(isinstance(n, str) for n in names):
        raise Fault("two rows have the same sample_id.", "include the row number or the file's name")
    if names != [other.sample_id(row) for row in range(len(names))]:
        raise Fault("a second opening gives other names.", "sort what the file system lists")


@check(READER)
def fingerprint_is_stable(subject: ReaderSubject) -> None:
    """Two openings of the same data have the same fingerprint; a resumed run compares it."""
    one, two = subject.reader.fingerprint(), subject.open().fingerprint()
    if not isinstance(one, str) or not one:
        raise Fault(f"fingerprint() gives {one!r}.", "return a digest of what the reader would return")
    if one != two:
        raise Fault("a second opening has another fingerprint.", "leave times, ids and orders of listing out of it")


@check(READER)
def unknown_columns_are_not_found(subject: ReaderSubject) -> None:
    """`find` gives None for a column that is not there."""
    found = subject.reader.find("no_such_column")
    if found is not None:
        raise Fault(f"find('no_such_column') gives {found!r}.", "return None, so that the mistake is named at once")


@check(READER)
def missing_files_are_named(subject: ReaderSubject) -> None:
    """A path that is not there raises DataError naming it."""
    if "path" not in subject.settings:
        raise NotApplicable("it has no option `path`")
    path = "/nowhere/at-all" + "".join(str(subject.settings["path"]).rpartition("/")[1:])
    try:
        create_reader(subject.part.qualified, {**subject.settings, "path": path})
    except DataError as error:
        if "nowhere" not in str(error):
            raise Fault(f"the error does not say which path: {error}", "put the path into `where`") from None
    except UserError:
        return
    except Exception as error:
        raise Fault(f"a missing file raises {describe_error(error)}", "raise anyclip.errors.DataError") from error
    else:
        raise Fault("a path that is not there opens.", "look at the files in __init__ and raise DataError")
