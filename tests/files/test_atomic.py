"""Files appear complete or not at all; devices, pipes and links are written through."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from instructor_embedding import InputError, InstructorError
from instructor_embedding.files import atomic, picture
from instructor_embedding.files.atomic import check_folder, check_target, replacing
from instructor_embedding.files.scratch import scratch_folder


def left(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_when_it_is_complete(tmp_path):
    with replacing(tmp_path / "a") as file:
        file.write(b"new")
        assert not (tmp_path / "a").exists()
    assert (tmp_path / "a").read_bytes() == b"new"
    assert left(tmp_path) == ["a"]


def test_an_error_keeps_what_was_there(tmp_path):
    (tmp_path / "a").write_bytes(b"old")
    (tmp_path / "a.part").write_bytes(b"the user's own")
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "a") as file:
        file.write(b"x" * (1 // (file.write(b"new") - 3)))
    assert (tmp_path / "a").read_bytes() == b"old"
    assert (tmp_path / "a.part").read_bytes() == b"the user's own"
    assert left(tmp_path) == ["a", "a.part"]


def test_modes(tmp_path):
    before = os.umask(0o027)
    try:
        with replacing(tmp_path / "a"):
            pass
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640
    (tmp_path / "a").chmod(0o604)
    with replacing(tmp_path / "a"):
        pass
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o604


def test_two_writers_do_not_meet(tmp_path):
    with replacing(tmp_path / "a") as first, replacing(tmp_path / "a") as second:
        first.write(b"first")
        second.write(b"second")
    assert (tmp_path / "a").read_bytes() == b"first"
    assert left(tmp_path) == ["a"]


def test_links_stay_links(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder" / "target")
    for content in (b"one", b"two"):
        with replacing(tmp_path / "link") as file:
            file.write(content)
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "folder" / "target").read_bytes() == content


def test_fifos_are_written_through(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    got = []
    thread = threading.Thread(target=lambda: got.append((tmp_path / "pipe").read_bytes()))
    thread.start()
    with replacing(tmp_path / "pipe") as file:
        file.write(b"through")
    thread.join()
    assert got == [b"through"]
    assert left(tmp_path) == ["pipe"]


def test_devices_and_descriptors(tmp_path, capfd):
    before = os.stat(os.devnull)
    with replacing(os.devnull, "wb+") as file:
        file.write(b"gone")
    assert os.stat(os.devnull).st_ino == before.st_ino
    with replacing("-") as file:
        file.write(b"to stdout, ")
    with replacing("/dev/stdout") as file:
        file.write(b"twice")
    assert capfd.readouterr().out == "to stdout, twice"
    with open(tmp_path / "a", "ab") as own:
        own.write(b"one ")
        own.flush()
        with replacing(f"/dev/fd/{own.fileno()}") as file:
            file.write(b"two")
    assert (tmp_path / "a").read_bytes() == b"one two"
    with pytest.raises(InputError, match="there is no open file of this number"), replacing("/dev/fd/999"):
        pass


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_full_disks():
    with (
        pytest.raises(InstructorError, match="cannot write /dev/full: No space left on device"),
        replacing("/dev/full") as f,
    ):
        f.write(b"x" * 10)


def test_what_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    cases = {
        tmp_path: "it is a folder",
        tmp_path / "no" / "a": "there is no folder",
        tmp_path / "file" / "a": "Not a directory",
        tmp_path / ("x" * 300): "File name too long",
        f"{tmp_path}/new/": "it is a folder",
        "": "the name of the file is empty",
        "a\0b": "null byte",
    }
    for path, why in cases.items():
        with pytest.raises(InputError, match=why):
            check_target(path)
        with pytest.raises(InputError, match=why), replacing(path):
            pass
    assert left(tmp_path) == ["file"]
    if os.path.isdir("/proc/self"):  # nobody can create a file there
        with pytest.raises(InputError, match="cannot write /proc/x: "), replacing("/proc/x"):
            pass


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL])
def test_a_signal_leaves_nothing(tmp_path, number):
    if number == signal.SIGKILL and atomic._unnamed(str(tmp_path)) is None:
        pytest.skip("this file system has no files without a name")
    code = (
        "import sys, time; from instructor_embedding.files.atomic import replacing\n"
        "with replacing(sys.argv[1]) as file:\n    file.write(b'x'); print('ready', flush=True); time.sleep(60)"
    )
    path = tmp_path / "a"
    path.write_bytes(b"old")
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.05)
    process.send_signal(number)
    process.communicate(timeout=20)
    assert process.returncode != 0
    assert path.read_bytes() == b"old"
    assert left(tmp_path) == ["a"]


def test_file_systems_without_unnamed_files(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic, "_unnamed", lambda folder: None)
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "a") as file:
        file.write(b"x" * (1 // (file.write(b"new") - 3)))
    assert left(tmp_path) == []
    with replacing(tmp_path / "a") as file:
        assert len(left(tmp_path)) == 1
        file.write(b"new")
    assert ((tmp_path / "a").read_bytes(), left(tmp_path)) == (b"new", ["a"])


def test_handlers_of_others_stay(tmp_path):
    def mine(number, frame):
        pass

    before = signal.signal(signal.SIGTERM, mine)
    try:
        with replacing(tmp_path / "a"):
            assert signal.getsignal(signal.SIGTERM) is mine
    finally:
        signal.signal(signal.SIGTERM, before)
    with replacing(tmp_path / "a"):
        assert signal.getsignal(signal.SIGTERM) != signal.SIG_DFL or before != signal.SIG_DFL
    assert signal.getsignal(signal.SIGTERM) == before


def test_folders_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    for bad in ("", tmp_path / "file", tmp_path / "file" / "deep" / "folder", "/proc/x/y", "/dev/null", "a\0b"):
        with pytest.raises(InputError, match=r"^cannot write the folder"):
            check_folder(bad)
    check_folder(tmp_path)
    check_folder(tmp_path / "new" / "deep")
    assert left(tmp_path) == ["file"]


@pytest.mark.parametrize("ending", picture.FORMATS)
def test_pictures(ending, tmp_path):
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    figure = Figure()
    figure.subplots().plot([1, 2], [3, 4])
    picture.write(figure, tmp_path / f"a.{ending}")
    assert (tmp_path / f"a.{ending}").stat().st_size > 1000
    for bad in (tmp_path / "a.docx", tmp_path / "none" / "a.png", tmp_path / "a", "", tmp_path):
        with pytest.raises(InputError):
            picture.check(bad)
    assert left(tmp_path) == [f"a.{ending}"]


def test_folders_of_killed_processes_are_removed(tmp_path):
    (tmp_path / ".exporting-999999999-x").mkdir()
    (tmp_path / f".exporting-{os.getpid()}-x").mkdir()
    with scratch_folder(tmp_path, ".exporting-") as folder:
        assert left(tmp_path) == sorted([folder.name, f".exporting-{os.getpid()}-x"])
    assert left(tmp_path) == [f".exporting-{os.getpid()}-x"]
