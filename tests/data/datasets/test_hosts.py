import base64
import json

from rl.data.datasets.hosts import Bucket, HubRepository

FIELDS = "fields=nextPageToken%2Citems%28name%2Csize%2Cmd5Hash%29"
MD5 = base64.b64encode(bytes(16)).decode()


def test_a_bucket_is_listed_page_by_page(server):
    first = f"/storage/v1/b/box/o?prefix=a%2F&{FIELDS}"
    item = {"name": "a/x y.gz", "size": "3", "md5Hash": MD5}
    server.answers[first] = json.dumps({"items": [item], "nextPageToken": "t"}).encode()
    server.answers[first + "&pageToken=t"] = json.dumps(
        {"items": [{"name": "a/sub/", "size": "0"}, {"name": "a/z", "size": "5"}]}
    ).encode()
    found = Bucket("box", server.url).files("a/")
    assert [(f.path, f.size, f.digest) for f in found] == [
        ("x y.gz", 3, "md5:" + "00" * 16),
        ("z", 5, None),
    ]
    assert found[0].url == f"{server.url}/box/a/x%20y.gz"


def test_an_empty_bucket_has_no_files(server):
    server.answers[f"/storage/v1/b/box/o?prefix=a&{FIELDS}&matchGlob=%2A"] = b"{}"
    assert Bucket("box", server.url).files("a", "*") == []


def test_a_repository_is_listed_with_digests(server):
    entries = [
        {"type": "directory", "path": "d"},
        {"type": "file", "path": "d/a.tar", "size": 4, "lfs": {"oid": "ab"}},
        {"type": "file", "path": "d/b (1).json", "size": 2},
    ]
    path = "/api/datasets/me/it/tree/main/d?recursive=true"
    server.answers[path] = json.dumps(entries).encode()
    tar, text = HubRepository("me/it", endpoint=server.url).files("d")
    assert (tar.path, tar.size, tar.digest) == ("d/a.tar", 4, "sha256:ab")
    assert text.digest is None
    assert text.url == f"{server.url}/datasets/me/it/resolve/main/d/b%20%281%29.json"
