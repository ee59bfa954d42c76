"""Which version of a model is served, and what the repository refuses to serve."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from app.repository import RepositoryError, activate, active_version, read_model, read_models, rollback
from app.signatures import sign, verify_signature

MODELS = Path(__file__).parents[2] / "models"
NAME = "restoration-level"  # the smallest one
SHIPPED = (
    "colorway", "cutout", "enhance-x2", "enhance-x2-fast", "enhance-x4", "from-sketch", "garments-128", "harmonize",
    "relight", "restoration-level", "sketch", "upscale-x2", "upscale-x4", "watermark", "watermark-reader",
)  # fmt: skip


def add_version(root, version, **changes):
    """A good version of the model, but for the changes to its manifest."""
    folder = root / NAME / version
    shutil.copytree(next((MODELS / NAME).iterdir()), folder)
    rewrite(folder, version=version, **changes)
    return folder


def rewrite(folder, **changes):
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.fixture
def root(tmp_path):
    """A repository with one model of three versions."""
    for version in ("1", "2", "10"):
        add_version(tmp_path / "models", version)
    return tmp_path / "models"


@pytest.fixture
def home(root):
    return root / NAME


def served(root):
    return read_models(root)[NAME].manifest.version


def saved(home):
    return json.loads((home / "active.json").read_text())


def test_the_shipped_models_are_where_their_manifests_say():
    assert set(read_models(MODELS)) == set(SHIPPED)


def test_the_highest_number_is_served_unless_another_is_chosen(root, home):
    (home / "11").write_text("a file is no version")
    (home / "12-draft").mkdir()
    (home / "²").mkdir()
    assert served(root) == "10"

    (home / "active.json").write_text('{"version": "2", "previous": null}')
    assert served(root) == active_version(home) == "2"

    add_version(root, "13")
    assert served(root) == "2"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '"2"',
        "{}",
        '{"version": 2}',
        '{"version": null}',
        '{"version": "2", "previous": 1}',
        '{"version": "2", "prior": "1"}',
        '{"version": "9"}',
        '{"version": ""}',
        '{"version": "../10"}',
        '{"version": "manifest.json"}',
        "\ud800",
    ],
)
def test_a_wrong_choice_stops_everything_rather_than_serve_another_version(root, home, text):
    (home / "active.json").write_bytes(text.encode(errors="surrogatepass"))

    with pytest.raises(RepositoryError, match=r"active\.json"):
        read_models(root)


def test_a_choice_without_any_version_is_wrong(root):
    (root / "other").mkdir()
    (root / "other" / "notes.txt").touch()
    assert set(read_models(root)) == {NAME}

    (root / "other" / "active.json").write_text('{"version": "1"}')
    with pytest.raises(RepositoryError, match="other holds no version"):
        read_models(root)


def test_a_repository_without_models_is_refused(tmp_path):
    for root in (tmp_path, tmp_path / "none"):
        with pytest.raises(RepositoryError, match="holds no model"):
            read_models(root)


def test_activation_is_saved_with_what_was_served_before(root, home):
    activate(root, NAME, "1")

    assert served(root) == "1"
    assert saved(home) == {"version": "1", "previous": "10"}
    assert sorted(path.name for path in home.iterdir()) == ["1", "10", "2", "active.json"]


def test_activating_what_is_active_changes_nothing(root, home):
    activate(root, NAME, "10")
    assert not (home / "active.json").exists()

    activate(root, NAME, "1")
    activate(root, NAME, "2")
    activate(root, NAME, "2")
    assert saved(home) == {"version": "2", "previous": "1"}


def test_a_second_rollback_undoes_the_first(root, home):
    activate(root, NAME, "2")

    assert rollback(root, NAME) == "10"
    assert served(root) == "10"
    assert saved(home) == {"version": "10", "previous": "2"}
    assert rollback(root, NAME) == "2"
    assert saved(home) == {"version": "2", "previous": "10"}


def test_with_nothing_to_go_back_to_a_rollback_is_refused(root, home):
    with pytest.raises(RepositoryError, match="no version to go back to"):
        rollback(root, NAME)
    assert not (home / "active.json").exists()

    (home / "active.json").write_text('{"version": "2"}')
    with pytest.raises(RepositoryError, match="no version to go back to"):
        rollback(root, NAME)
    assert saved(home) == {"version": "2"}


def test_a_rollback_to_a_deleted_version_is_refused(root, home):
    activate(root, NAME, "1")
    shutil.rmtree(home / "10")

    with pytest.raises(RepositoryError, match="no version '10'"):
        rollback(root, NAME)
    assert saved(home) == {"version": "1", "previous": "10"}


def test_a_rollback_leaves_a_version_that_was_deleted(root, home):
    activate(root, NAME, "1")
    shutil.rmtree(home / "1")

    assert rollback(root, NAME) == "10"
    assert served(root) == "10"


@pytest.mark.parametrize("text", ["{", '{"version": "9", "previous": "1"}'])
def test_activation_mends_a_wrong_choice(root, home, text):
    (home / "active.json").write_text(text)
    activate(root, NAME, "2")

    assert saved(home) == {"version": "2", "previous": None}


@pytest.mark.parametrize(
    "version", ["9", "", ".", "..", "../restoration-level/1", "1/", "/", "01", "1\0", "active.json"]
)
def test_only_a_version_that_is_there_can_be_activated(root, home, version):
    with pytest.raises(RepositoryError, match="holds no version"):
        activate(root, NAME, version)
    assert not (home / "active.json").exists()


@pytest.mark.parametrize(
    "name", ["other", "", ".", "..", "../outside", f"./{NAME}", f"{NAME}/", "{tmp}/outside", "a\0"]
)
def test_no_name_leads_out_of_the_repository(root, home, tmp_path, name):
    shutil.copytree(home, tmp_path / "outside")
    (tmp_path / "outside" / "active.json").write_text('{"version": "1", "previous": "2"}')

    for change in (lambda name: activate(root, name, "2"), lambda name: rollback(root, name)):
        with pytest.raises(RepositoryError, match="holds no model"):
            change(name.replace("{tmp}", str(tmp_path)))
    assert saved(tmp_path / "outside") == {"version": "1", "previous": "2"}


def test_a_choice_that_cannot_be_written_is_an_error_and_leaves_nothing_behind(root, home):
    (home / "active.json").mkdir()

    with pytest.raises(RepositoryError, match="cannot be written"):
        activate(root, NAME, "2")
    assert sorted(path.name for path in home.iterdir()) == ["1", "10", "2", "active.json"]


def test_a_crash_while_writing_leaves_the_old_choice(root, home, monkeypatch):
    activate(root, NAME, "1")
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))

    with pytest.raises(RepositoryError, match="No space left"):
        activate(root, NAME, "2")
    assert saved(home) == {"version": "1", "previous": "10"}
    assert sorted(path.name for path in home.iterdir()) == ["1", "10", "2", "active.json"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "other"}, "other@2"),
        ({"version": "3"}, f"{NAME}@3"),
        ({"version": 2}, "not valid"),
        ({"task": None}, "not valid"),
        ({"sha256": "0" * 64}, "hash"),
        ({"file": "none.onnx"}, "not a file"),
        ({"file": ""}, "not a file"),
        ({"file": "../1/model.onnx"}, "not a file"),
        ({"file": "link.onnx"}, "not a file"),
        ({"file": "model.onnx\0"}, "cannot be read"),
    ],
)
def test_a_manifest_that_is_not_of_this_folder_is_refused(home, changes, message):
    (home / "2" / "link.onnx").symlink_to(home / "1" / "model.onnx")
    rewrite(home / "2", **changes)

    with pytest.raises(RepositoryError, match=message):
        read_model(home / "2")


@pytest.mark.parametrize("text", [None, b"", b"{}", b"[1]", b"\xff\xfe"])
def test_a_missing_or_broken_manifest_is_refused(home, text):
    path = home / "2" / "manifest.json"
    path.unlink()
    if text is not None:
        path.write_bytes(text)

    with pytest.raises(RepositoryError, match="manifest is missing or not valid"):
        read_model(home / "2")


def test_a_damaged_file_is_refused(home):
    path = home / "2" / "model.onnx"
    good = path.read_bytes()
    middle = len(good) // 2
    for bad in (b"", good[:-1], good + b"\0", good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :]):
        path.write_bytes(bad)
        with pytest.raises(RepositoryError, match="hash"):
            read_model(home / "2")


def test_a_model_is_found_by_a_relative_path_too(home, monkeypatch):
    monkeypatch.chdir(home / "2")

    assert read_model(Path()).label == f"{NAME}@2"


def graph(**changes):
    """An ONNX graph of one node, with parts that a repository must not take."""
    onnx = pytest.importorskip("onnx")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    node = helper.make_node("Add", ["x", "w"], ["y"], domain=changes.get("domain", ""))
    weight = helper.make_tensor("w", kind, [1], [1.0])
    if changes.get("external"):
        weight.data_location = onnx.TensorProto.EXTERNAL
        weight.external_data.add(key="location", value="../../secret")
    if changes.get("inside"):  # in a graph within a node
        branch = helper.make_graph([node], "b", [], [helper.make_tensor_value_info("y", kind, [1])], [weight])
        node = helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    values = [helper.make_tensor_value_info(name, kind, [1]) for name in ("x", "y")]
    return helper.make_model(helper.make_graph([node], "g", [values[0]], [values[1]], [weight])).SerializeToString()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"external": True}, "file of their own"),
        ({"external": True, "inside": True}, "file of their own"),
        ({"domain": "com.evil"}, r"operators of 'com\.evil'"),
        ({"domain": "com.evil", "inside": True}, "operators"),
    ],
)
def test_a_graph_that_wants_more_than_itself_is_refused_before_it_is_parsed(root, home, changes, told):
    """Weights in other files are not covered by the hash; operators that ONNX does not define are foreign code."""
    data = graph(**changes)
    (home / "10" / "model.onnx").write_bytes(data)
    rewrite(home / "10", sha256=hashlib.sha256(data).hexdigest())
    with pytest.raises(RepositoryError, match=told):
        read_model(home / "10")


def test_a_graph_that_refers_to_nothing_is_read(root, home):
    for data in (graph(), graph(inside=True)):
        (home / "10" / "model.onnx").write_bytes(data)
        rewrite(home / "10", sha256=hashlib.sha256(data).hexdigest())
        assert read_model(home / "10").data == data


@pytest.mark.parametrize("data", [b"\xff", b"\x3a\xff\xff\xff\xff\x0f", b"\x0b", b"\x80" * 20, b"\x3a\x02\x0a"])
def test_bytes_that_are_no_graph_are_refused(root, home, data):
    (home / "10" / "model.onnx").write_bytes(data)
    rewrite(home / "10", sha256=hashlib.sha256(data).hexdigest())
    with pytest.raises(RepositoryError, match="no ONNX graph"):
        read_model(home / "10")


@pytest.fixture
def pair(tmp_path):
    """A key pair as OpenSSL makes it: private, public."""
    serialization = pytest.importorskip("cryptography.hazmat.primitives.serialization")
    ec = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ec")
    pytest.importorskip("model_signing")
    key = ec.generate_private_key(ec.SECP256R1())
    encoding, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain)
    public = key.public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "private.pem").write_bytes(private)
    (tmp_path / "public.pem").write_bytes(public)
    return tmp_path / "private.pem", tmp_path / "public.pem"


def test_a_signature_covers_graph_and_manifest(home, pair):
    private, public = pair
    folder = home / "10"
    with pytest.raises(RepositoryError, match=r"no model\.sig"):
        verify_signature(folder, public)
    sign(folder, private)
    verify_signature(folder, public)
    (folder / "card.md").write_text("another card")
    verify_signature(folder, public)
    rewrite(folder, training_data="other data")
    with pytest.raises(RepositoryError, match="not good"):
        verify_signature(folder, public)
    sign(folder, private)
    (folder / "model.onnx").write_bytes(graph())
    with pytest.raises(RepositoryError, match="not good"):
        verify_signature(folder, public)
