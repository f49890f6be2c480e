"""Plans for TPU slices: text, JSON, remedies, kept results. Only the long test needs the TPU's compiler."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import types

import pytest

from big_transfer import compilation
from big_transfer import config as config_lib
from big_transfer.compilation import planning, programs, remedies, slices, store
from big_transfer.compilation.collectives import Collective, collectives
from big_transfer.compilation.measuring import Needs
from big_transfer.compilation.program_text import ProgramText
from big_transfer.config import completion, known_datasets
from big_transfer.run import sharding
from configs import bit_evaluate, bit_m_imagenet21k, bit_s_imagenet2012, bit_transfer

GIB = 2**30
FITS = Needs(
    parts={"parameters": GIB, "optimizer": GIB, "batch": GIB // 8},
    argument_bytes=2 * GIB + GIB // 8,
    temporary_bytes=4 * GIB,
    memory_bytes=7 * GIB,
    resident={"next batches": GIB // 4},
    available_bytes=15.75 * GIB,
    fits=True,
    flops=19.7e12,  # a tenth of a second on v5e
    traffic_bytes=300e9,
    off_chip_bytes=int(163.8e9),  # a fifth of a second on v5e
    collectives=(Collective("all-reduce", 10**9, 3, "f32[1000]"),),
    batch_size=4096,
)
TOO_LARGE = dataclasses.replace(
    FITS, temporary_bytes=30 * GIB, memory_bytes=32 * GIB + GIB // 8, available_bytes=15 * GIB, fits=False,
    flops=None, traffic_bytes=None, off_chip_bytes=None, collectives=(),
)  # fmt: skip


@pytest.fixture
def compiler(monkeypatch, tmp_path):
    """In the place of the TPU's compiler: a function of the config, and a list of the configs it got."""
    asked = []

    def use(answer, evaluation=FITS):
        def training_needs(config, place, schedule):
            asked.append(("training", config))
            return answer(config)

        def evaluation_needs(config, place):
            asked.append(("evaluation", config))
            return evaluation

        monkeypatch.setattr(planning, "training_needs", training_needs)
        monkeypatch.setattr(planning, "evaluation_needs", evaluation_needs)
        monkeypatch.setattr(slices, "slice_of", slice_of)
        return asked

    return use


@dataclasses.dataclass(frozen=True)
class Device:
    id: int

    @property
    def process_index(self):
        return self.id // 4


def slice_of(name):
    devices = tuple(Device(number) for number in range(32))
    return slices.Slice(name, slices.CHIPS[name.partition(":")[0]], devices)


def test_a_plan_that_fits(compiler, tmp_path):
    compiler(lambda config: FITS)
    path = tmp_path / "plan.json"
    text = compilation.plan(bit_s_imagenet2012.get_config(), "v5e:4x8", json_path=path)
    assert "memory                  7.25 GiB" in text
    assert "32 chips on 8 hosts" in text and "fits in 15.75 GiB" in text
    record = json.loads(path.read_text())
    assert record.keys() == {"topology", "chips", "hosts", "train", "evaluate"}
    train = record["train"]
    assert set(train["per_chip"]) == {
        "argument_bytes", "temporary_bytes", "memory_bytes", "fits", "flops", "traffic_bytes",
        "off_chip_bytes", "parts", "resident",
    }  # fmt: skip
    assert train["bound_by"] == "memory traffic"
    assert train["images_per_second"] == pytest.approx(4096 / 0.2)
    assert train["steps"] == round(90 * 1_281_167 / 4096)
    assert train["hours"] == pytest.approx(train["steps"] * 0.2 / 3600)
    assert f"{32 * train['hours']:,.1f} chip-hours" in text


def test_several_slices_are_a_table(compiler, tmp_path):
    compiler(lambda config: FITS)
    path = tmp_path / "plan.json"
    text = compilation.plan(bit_s_imagenet2012.get_config(), "v5e:4x8,v6e:4x8", json_path=path)
    lines = text.strip().splitlines()
    assert lines[0].split()[0] == "slice" and len(lines) == 4
    assert [record["topology"] for record in json.loads(path.read_text())] == ["v5e:4x8", "v6e:4x8"]


def test_a_plan_that_does_not_fit_names_a_change_that_does(compiler):
    def answer(config):
        return FITS if config.model.remat and config.input.accumulate_steps >= 4 else TOO_LARGE

    asked = compiler(answer)
    text = compilation.plan(bit_s_imagenet2012.get_config(), "v5e:4x8")
    assert "does NOT fit: 17.38 GiB too much for 15 GiB" in text
    assert "It fits with --config.model.remat=True --config.input.accumulate_steps=4. Then" in text
    assert sum(step == "training" for step, _ in asked) <= 1 + 4
    assert "chip-hours" in text  # with the change


def test_the_change_is_in_the_table_and_in_the_file(compiler, tmp_path):
    compiler(lambda config: FITS if config.model.remat else TOO_LARGE)
    path = tmp_path / "plan.json"
    text = compilation.plan(bit_s_imagenet2012.get_config(), "v5e:4x8,v4:2x4x4", json_path=path)
    assert text.count("--config.model.remat=True") == 2 and "not known" not in text
    train = json.loads(path.read_text())[0]["train"]
    assert not train["per_chip"]["fits"] and train["hours"] is None
    assert train["remedy"]["flags"] == "--config.model.remat=True"
    assert train["remedy"]["per_chip"]["fits"] and train["remedy"]["hours"] > 0


def test_the_evaluation_is_that_of_the_change(compiler):
    """A split state leaves more memory to the evaluation."""
    large = {"parameters": 4 * GIB, "optimizer": 4 * GIB, "batch": 1}

    def answer(config):
        fits = config.sharding == "fsdp"
        return (
            FITS if fits else dataclasses.replace(TOO_LARGE, parts=large, temporary_bytes=8 * GIB)
        )

    asked = compiler(answer)
    compilation.plan(bit_s_imagenet2012.get_config(), "v5e:4x8")
    evaluated = [config.sharding for step, config in asked if step == "evaluation"]
    assert evaluated == ["fsdp"]


def test_an_evaluation_that_does_not_fit_is_named(compiler):
    compiler(lambda config: FITS, evaluation=TOO_LARGE)
    config = bit_s_imagenet2012.get_config()
    assert "Set a smaller --config.eval.batch_size" in compilation.plan(config, "v5e:4x8")
    table = compilation.plan(config, "v5e:4x8,v4:2x4x4")
    assert table.count("evaluation does NOT fit") == 2 and table.count("32.38 of 15.75") == 2


def test_mistakes_are_found_before_anything_is_compiled(compiler, tmp_path):
    asked = compiler(lambda config: FITS)
    config = bit_s_imagenet2012.get_config()
    for path in (tmp_path, tmp_path / "nowhere" / "plan.json"):
        with pytest.raises(config_lib.ConfigError, match=r"--json=.*give a file in an existing"):
            compilation.plan(config, "v5e:4x8", json_path=path)
    config.input.batch_size = 100
    with pytest.raises(sharding.BatchSizeError, match="v5e:4x8: .* does not split over 32 devices"):
        compilation.plan(config, "v5e:4x8,v4:2x4x4")
    assert not asked


def test_no_change_is_invented(compiler):
    asked = compiler(lambda config: TOO_LARGE)
    text = compilation.plan(bit_s_imagenet2012.get_config(), "v5e:4x8")
    assert "No setting was found that fits" in text
    assert sum(step == "training" for step, _ in asked) <= 1 + 4
    assert "NOTHING FOUND" in compilation.plan(bit_s_imagenet2012.get_config(), "v5e:4x8,v4:2x4x4")


def test_a_large_state_is_split_first():
    config = completion.plan_training(
        config_lib.check(bit_s_imagenet2012.get_config()),
        known_datasets.size_of("imagenet2012", "train"),
    )
    needs = dataclasses.replace(
        TOO_LARGE, parts={"parameters": 4 * GIB, "optimizer": 4 * GIB, "batch": 1}
    )
    tried = []

    def needs_of(candidate):
        tried.append(remedies.Settings.of(candidate))
        return FITS

    found = remedies.find(config, needs, 32, needs_of)
    assert found is not None and found.flags == "--config.sharding=fsdp --config.model.remat=True"
    assert tried == [remedies.Settings("fsdp", True, 1)]
    # If the temporaries fit beside a split state, no time is spent.
    needs = dataclasses.replace(needs, temporary_bytes=9 * GIB, memory_bytes=17 * GIB)
    found = remedies.find(config, needs, 32, needs_of)
    assert found is not None and found.flags == "--config.sharding=fsdp"


def test_hours_are_not_known_without_the_number_of_images(compiler, tmp_path):
    compiler(lambda config: FITS)
    config = bit_s_imagenet2012.get_config()
    config.input.dataset = config.eval.dataset = "my_dataset"
    text = compilation.plan(config, "v5e:4x8", json_path=tmp_path / "plan.json")
    assert "not known: give --examples=N" in text
    assert json.loads((tmp_path / "plan.json").read_text())["train"]["hours"] is None
    assert "at least for 21,973 steps" in compilation.plan(config, "v5e:4x8", examples=1_000_000)


def test_the_rule_needs_the_size_of_the_dataset(compiler):
    asked = compiler(lambda config: FITS)
    config = bit_transfer.get_config("dataset=flowers,model=R50x1")
    config.num_classes = 102
    with pytest.raises(config_lib.ConfigError, match="give --examples=N --area=PIXELS"):
        compilation.plan(config, "v5e:4x8")
    compilation.plan(config, "v5e:4x8", examples=2_040, area=500 * 500)
    train = next(config for step, config in asked if step == "training")
    assert (train.input.size, train.total_steps, train.mixup_alpha) == (480, 500, 0.0)
    config.num_classes = None
    with pytest.raises(config_lib.ConfigError, match=r"num_classes: is not known without"):
        compilation.plan(config, "v5e:4x8", examples=2_040, area=500 * 500)


def test_a_config_without_training_compiles_its_evaluation_alone(compiler):
    asked = compiler(lambda config: FITS)
    config = bit_evaluate.get_config("R152x4")
    config.checkpoint = "BiT-M-R152x4-ILSVRC2012.npz"  # need not be here
    text = compilation.plan(config, "v5e:4x8")
    assert [step for step, _ in asked] == ["evaluation"] and "Training" not in text
    assert asked[0][1].eval.size == 480 and asked[0][1].model.depth == 152
    unnamed = bit_evaluate.get_config()
    with pytest.raises(config_lib.ConfigError, match="set --config.model.depth"):
        compilation.plan(unnamed, "v5e:4x8")
    unnamed.checkpoint = "BiT-M-R50x3-ILSVRC2012.npz"
    unnamed.input.size = 128  # as in an evaluation, this is the size of training images
    compilation.plan(unnamed, "v5e:4x8")
    assert (asked[-1][1].model.depth, asked[-1][1].model.width) == (50, 3.0)
    assert asked[-1][1].eval.size == 480
    unnamed.checkpoint = "a.npz,b.npz"
    with pytest.raises(config_lib.ConfigError, match="plan the evaluation of one at a time"):
        compilation.plan(unnamed, "v5e:4x8")


@pytest.mark.parametrize(
    ("split", "number"),
    [
        ("train", 14_197_122), ("train[51200:]", 14_197_122 - 51_200), ("train[:51200]", 51_200),
        ("train[:50%]", 7_098_561), ("train[-10:]", 10), ("test", None), ("train+test", None),
    ],
)  # fmt: skip
def test_sizes_of_known_datasets(split, number):
    assert known_datasets.size_of("imagenet21k", split).num_examples == number
    assert known_datasets.size_of("imagenet21k:1.0.0", split).num_classes == 21_843
    assert known_datasets.size_of("flowers", split) == known_datasets.Size()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (dict(examples_per_class=5), 5_000),
        (dict(keep="clean.txt"), None),
    ],
)
def test_a_part_of_the_training_images(compiler, arguments, expected):
    config = bit_s_imagenet2012.get_config()
    config.input.update(arguments)
    assert planning._size(config_lib.check(config), None, None).num_examples == expected
    assert planning._size(config_lib.check(config), 7, None).num_examples == 7


def test_the_configs_of_this_project_can_be_planned(compiler):
    compiler(lambda config: FITS)
    for config in (
        bit_m_imagenet21k.get_config(),
        bit_transfer.get_config("dataset=imagenet2012,model=R152x4"),
    ):
        assert "chip-hours" in compilation.plan(config, "v4:2x4x4")


@pytest.mark.parametrize("name", ["v5e", "v5e:4", "v9:2x2", "v5e:4x8x1x1", "cpu", ""])
def test_unknown_slices_are_refused(name):
    with pytest.raises(slices.TopologyError, match=r"expected a chip \(v4, v5e, v5p, v6e\)"):
        slices.slice_of(name)


@pytest.mark.parametrize("name", ["v5e:300x300", "v5e:2x2x2", "v4:4x8", "v6e:0x4", "v4:32x32x32"])
def test_slices_that_do_not_exist_are_refused(name):
    with pytest.raises(slices.TopologyError, match="dimensions and at most"):
        slices.slice_of(name)


def test_without_the_compiler_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(slices.TopologyError, match=r"pip install '\.\[tpu\]'"):
        slices.slice_of("v5e:4x8")


def test_needs_are_kept_by_program_and_slice(monkeypatch, tmp_path):
    monkeypatch.setattr(store, "folder", lambda: tmp_path)
    monkeypatch.setattr(store.importlib.metadata, "version", lambda name: "1")
    monkeypatch.delenv("XLA_FLAGS", raising=False)

    def kept(text="program", topology="v5e:4x8", micro_batches=1, resident=0, **chip):
        lowered = types.SimpleNamespace(as_text=lambda: text)
        program = programs.Program(lowered, 32, 4096, micro_batches, {}, {"next batches": resident})
        calls = []
        place = slice_of(topology)
        place = dataclasses.replace(place, chip=dataclasses.replace(place.chip, **chip))
        found = store.kept(program, place, lambda: calls.append(1) or FITS)
        assert found == FITS
        return len(calls)

    assert [kept(), kept(), kept("another"), kept("another")] == [1, 0, 1, 0]
    assert [kept(topology="v4:2x4x4"), kept(micro_batches=2), kept()] == [1, 1, 0]
    assert [kept(resident=1), kept(usable=GIB)] == [1, 1]
    monkeypatch.setenv("XLA_FLAGS", "--xla_other")
    assert kept() == 1
    for path in tmp_path.iterdir():
        path.write_text("{")
    assert kept() == 1  # a damaged file is compiled again
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(store, "folder", lambda: tmp_path / "file")
    assert kept() == 1  # a folder that cannot be made loses no result


# An excerpt in the compiler's own form: an asynchronous gather in three parts, a loop, a fused scatter.
PROGRAM = """
%start.1 (p: bf16[8]) -> bf16[256] {
  %all-gather.1 = bf16[1,256]{1,0:T(8,128)} all-gather(%p), channel_id=1, dimensions={1}
  ROOT %c = bf16[256] custom-call(%all-gather.1), custom_call_target="AsyncCollectiveStart"
}

%async_collective_fusion.1 (p: bf16[8]) -> bf16[256] {
  %all-gather.2 = bf16[1,256]{1,0:T(8,128)} all-gather(%p), channel_id=1, dimensions={1}
}

%done.1 (p: bf16[8]) -> bf16[256] {
  %all-gather.3 = bf16[1,256]{1,0:T(8,128)} all-gather(%p), channel_id=1, dimensions={1}
  ROOT %c = bf16[256] custom-call(%all-gather.3), custom_call_target="AsyncCollectiveDone"
}

%all-reduce-scatter.1 (p: f32[64]) -> f32[16] {
  %all-reduce.7 = f32[64]{0} all-reduce(%p), channel_id=2, to_apply=%add
}

%body.1 (p: f32[4]) -> f32[4] {
  %collective-permute-start = (f32[4]{0}, f32[4]{0}, u32[], u32[]) collective-permute-start(%p), channel_id=3
}

%left.1 (p: f32[4]) -> f32[4] {
}

%right.1 (p: f32[4]) -> f32[4] {
  %all-to-all.1 = f32[50]{0} all-to-all(%p), channel_id=5
}

%condition.1 (p: f32[4]) -> pred[] {
  %constant.1 = s32[]{:T(128)} constant(5)
}

ENTRY %main.1 (p: f32[4]) -> f32[4] {
  %f.1 = bf16[256] fusion(%p), kind=kCustom, calls=%start.1
  %f.2 = bf16[256] fusion(%p), kind=kCustom, calls=%async_collective_fusion.1
  %f.3 = bf16[256] fusion(%p), kind=kCustom, calls=%done.1
  %f.4 = f32[16] fusion(%p), kind=kCustom, calls=%all-reduce-scatter.1
  %w = f32[4] while(%p), condition=%condition.1, body=%body.1
  %all-reduce-start.1 = (f32[100]{0}, f32[10]{0}) all-reduce-start(%a, %b), channel_id=4, to_apply=%add
  %c = f32[4] conditional(%i, %p, %p), branch_computations={%left.1, %right.1}
  %all-reduce.8 = (f32[2,3]{1,0}, pred[7]{0}) all-reduce(%a, %b), channel_id=1, to_apply=%add
  %rs = ((f32[8]{0}), f32[2]{0}) reduce-scatter-start(%c), channel_id=6, to_apply=%add
  ROOT %reduce-scatter.9 = f32[2]{0} reduce-scatter(%c), channel_id=1, dimensions={0}, to_apply=%add
}
"""


def test_operations_between_chips_are_read_from_the_program():
    assert collectives(ProgramText.parse(PROGRAM), chips=4) == (
        Collective("all-gather", 512, 1, "bf16[1,256]"),
        Collective("all-reduce", 440 + 24 + 7, 2, "f32[100]"),
        Collective("reduce-scatter", 64 * 4 + 2 * (2 * 4 * 4), 3, "f32[64]"),
        Collective("all-to-all", 200, 1, "f32[50]"),
        Collective("collective-permute", 5 * 16, 5, "f32[4]"),
    )


@pytest.mark.long
def test_a_tiny_model_compiles_for_a_tpu(monkeypatch, tmp_path):
    if importlib.util.find_spec("libtpu") is None:
        pytest.skip("the TPU's compiler is not installed (pip install libtpu)")
    monkeypatch.setattr(store, "folder", lambda: tmp_path)
    config = bit_s_imagenet2012.get_config()
    config.model.depth, config.model.units = None, (1,)
    config.input.batch_size = config.eval.batch_size = 16
    config.input.size = config.eval.size = 64
    text = compilation.plan(config, "v5e:2x2", json_path=tmp_path / "plan.json")
    assert "fits in 15.75 GiB" in text and "all-reduce" in text
    train = json.loads((tmp_path / "plan.json").read_text())["train"]["per_chip"]
    assert train["argument_bytes"] >= sum(train["parts"].values())
    assert train["flops"] > 0 and 0 < train["off_chip_bytes"] < train["traffic_bytes"]
