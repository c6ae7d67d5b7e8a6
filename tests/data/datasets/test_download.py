import hashlib

import pytest

from rl.data.datasets.download import RemoteFile, download, fetch_json
from rl.data.datasets.error import DatasetError

BODY = bytes(range(256)) * 40
SHA = "sha256:" + hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def remote(server):
    server.files["/a/b.bin"] = BODY
    return RemoteFile(f"{server.url}/a/b.bin", "a/b.bin", len(BODY), SHA)


def test_a_file_is_downloaded_whole(remote, server, tmp_path):
    path = download(remote, tmp_path)
    assert path == tmp_path / "a" / "b.bin"
    assert path.read_bytes() == BODY
    assert [p.name for p in path.parent.iterdir()] == ["b.bin"]


def test_a_file_that_is_there_is_not_asked_for(remote, server, tmp_path):
    download(remote, tmp_path)
    download(remote, tmp_path)
    assert len(server.requests) == 1


def test_a_changed_file_is_downloaded_anew(remote, server, tmp_path):
    download(remote, tmp_path).write_bytes(b"x" * len(BODY))
    assert download(remote, tmp_path).read_bytes() == BODY


def test_a_broken_download_goes_on_where_it_stopped(remote, server, tmp_path):
    server.cuts["/a/b.bin"] = 1000
    assert download(remote, tmp_path).read_bytes() == BODY
    assert server.requests == [("/a/b.bin", None), ("/a/b.bin", "bytes=1000-")]


def test_a_download_of_an_earlier_process_goes_on(remote, server, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.bin.part").write_bytes(BODY[:5000])
    assert download(remote, tmp_path).read_bytes() == BODY
    assert server.requests == [("/a/b.bin", "bytes=5000-")]


def test_a_file_without_digest_goes_on_only_if_it_is_the_same(server, tmp_path):
    file = RemoteFile(f"{server.url}/b.bin", "b.bin")
    for tag in ("one", "two"):
        server.files["/b.bin"], server.tag = BODY, "one"
        (tmp_path / "b.bin.part").write_bytes(BODY[:5000] if tag == "one" else b"?" * 5000)
        (tmp_path / "b.bin.part.tag").write_text(tag)
        assert download(file, tmp_path).read_bytes() == BODY
        (tmp_path / "b.bin").unlink()
    assert [span for _, span in server.requests] == ["bytes=5000-"] * 2
    (tmp_path / "b.bin.part").write_bytes(b"?" * 5000)
    assert download(file, tmp_path).read_bytes() == BODY
    assert server.requests[-1] == ("/b.bin", None)
    assert [path.name for path in tmp_path.iterdir()] == ["b.bin"]


def test_a_server_without_ranges_starts_over(remote, server, tmp_path):
    server.ranges = False
    server.cuts["/a/b.bin"] = 1000
    assert download(remote, tmp_path).read_bytes() == BODY


def test_a_part_longer_than_the_file_starts_over(server, tmp_path):
    server.files["/b.bin"] = BODY
    (tmp_path / "b.bin.part").write_bytes(BODY + b"more")
    file = RemoteFile(f"{server.url}/b.bin", "b.bin", digest=SHA)
    assert download(file, tmp_path).read_bytes() == BODY


def test_a_truncated_file_raises_and_leaves_nothing(server, tmp_path):
    server.files["/b.bin"] = BODY[:100]
    file = RemoteFile(f"{server.url}/b.bin", "b.bin", len(BODY), SHA)
    with pytest.raises(DatasetError, match=r"/b.bin` failed: it ended after 100 of 10240 bytes"):
        download(file, tmp_path)
    assert not (tmp_path / "b.bin").exists()


def test_a_longer_file_raises(server, tmp_path):
    server.files["/b.bin"] = BODY
    with pytest.raises(DatasetError, match=r"it has 10240 bytes, expected 12"):
        download(RemoteFile(f"{server.url}/b.bin", "b.bin", 12), tmp_path)


@pytest.mark.parametrize("kind", ["sha256", "md5"])
def test_a_wrong_digest_raises_and_leaves_nothing(kind, server, tmp_path):
    server.files["/b.bin"] = BODY
    file = RemoteFile(f"{server.url}/b.bin", "b.bin", len(BODY), f"{kind}:00")
    with pytest.raises(DatasetError, match=rf"its {kind} is \w+, expected \w+:00. Try again"):
        download(file, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_names_the_url(server, tmp_path):
    with pytest.raises(DatasetError, match=r"/none` answered 404 .*`download=False`"):
        download(RemoteFile(f"{server.url}/none", "none"), tmp_path)


def test_a_server_that_is_not_there_names_the_url(tmp_path):
    with pytest.raises(DatasetError, match=r"127.0.0.1:9/x` cannot be reached"):
        download(RemoteFile("http://127.0.0.1:9/x", "x"), tmp_path)


@pytest.mark.parametrize("path", ["../x", "/etc/x"])
def test_a_path_outside_of_the_folder_is_refused(path, tmp_path):
    with pytest.raises(DatasetError, match="outside of its folder"):
        download(RemoteFile("http://127.0.0.1:9/x", path), tmp_path / "in")


def test_other_schemes_are_refused(tmp_path):
    with pytest.raises(DatasetError, match=r"over http\(s\)"):
        download(RemoteFile("file:///etc/hostname", "x"), tmp_path)


def test_json_that_is_none_names_the_url(server):
    server.answers["/x"] = b"<html>"
    with pytest.raises(DatasetError, match="/x` gave no JSON"):
        fetch_json(f"{server.url}/x")
