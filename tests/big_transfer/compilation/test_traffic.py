"""Accesses to memory, counted in the text of compiled programs."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest

from big_transfer.compilation import measuring
from big_transfer.compilation.program_text import ProgramText
from big_transfer.compilation.traffic import Traffic, traffic

MATRIX = jnp.zeros((64, 64), jnp.float32)


def of(function, *arguments):
    """(counted here, counted by the compiler) for this machine's CPU."""
    executable = jax.jit(function).lower(*arguments).compile()
    return traffic(ProgramText.parse(executable.as_text())), executable.cost_analysis()


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x @ x.T,
        lambda x: jnp.tanh(x) * 2 + x.sum(0),
        lambda x: x[:8] * 2.0,
        lambda x: jnp.sort(x, 0),
    ],
)
def test_without_loops_the_count_is_the_compilers(function):
    counted, compilers = of(function, MATRIX)
    assert counted.off_chip_bytes == pytest.approx(compilers["bytes accessed"], rel=0.02)
    assert counted.loop_factor == 1


def test_the_body_of_a_loop_counts_as_often_as_it_runs():
    def times(steps):
        def function(x):
            return jax.lax.fori_loop(0, steps, lambda _, y: jnp.sin(y @ x), x)

        return of(function, MATRIX)

    (few, compilers), (many, same) = times(10), times(1000)
    assert same["bytes accessed"] == compilers["bytes accessed"]  # as if the loop ran once
    body = (many.off_chip_bytes - few.off_chip_bytes) / 990
    size = MATRIX.nbytes
    # The product reads two arrays and writes one, the sine one and one; then there is the counter.
    assert 5 * size <= body < 5 * size + 100
    once = few.off_chip_bytes - 9 * body
    assert many.loop_factor == pytest.approx(many.off_chip_bytes / once)


LOOP = """
%compare (n: s32[]) -> pred[] {
  %n = s32[] parameter(0)
  %limit = s32[] constant(6)
  ROOT %less = pred[] compare(%n, %limit), direction=LT
}

%condition (p: (s32[], f32[4])) -> pred[] {
  %p = (s32[], f32[4]) parameter(0)
  %i = s32[] get-tuple-element(%p), index=0
  ROOT %fusion = pred[] fusion(%i), kind=kLoop, calls=%compare
}

%body (q: (s32[], f32[4])) -> (s32[], f32[4]) {
  %q = (s32[], f32[4]) parameter(0)
  %x = f32[4] get-tuple-element(%q), index=1
  %two = f32[4] add(%x, %x)
  ROOT %c = f32[4] conditional(%i, %two, %two), true_computation=%yes, false_computation=%no
}

%yes (a: f32[4]) -> f32[4] {
  %a = f32[4] parameter(0)
  ROOT %sum = f32[4] negate(%a)
}

%no (b: f32[4]) -> f32[4] {
  ROOT %b = f32[4] parameter(0)
}

ENTRY %main (s: (s32[], f32[4])) -> f32[4] {
  %s = (s32[], f32[4]) parameter(0)
  ROOT %w = (s32[], f32[4]) while(%s), condition=%condition, body=%bodyNOTED
}
"""


@pytest.mark.parametrize(
    ("noted", "times"), [("", 6), (', backend_config={"known_trip_count":{"n":"9"}}', 9)]
)
def test_the_length_of_a_loop(noted, times):
    program = ProgramText.parse(LOOP.replace("NOTED", noted))
    assert program.loops == [times]
    assert (program.runs["body"], program.runs["yes"], program.runs["no"]) == (times,) * 3
    # In each round, a sum reads an array and writes one, and so does a branch; the comparison reads
    # a number of 4 bytes and writes a truth of 1.
    assert traffic(program).off_chip_bytes - 5 * program.runs["condition"] == times * 4 * 16


# An excerpt in the form of the TPU's compiler. 128 · 128 numbers in bfloat16 have 32 KiB.
PROGRAM = """
%fused_slices (a: bf16[128,128], b: bf16[128,128]) -> bf16[128,128] {
  %a = bf16[128,128]{1,0:T(8,128)} parameter(0)
  %b = bf16[128,128]{1,0:T(8,128)} parameter(1)
  %zero = s32[]{:T(128)} constant(0)
  %rows = bf16[8,128]{1,0:T(8,128)} dynamic-slice(%b, %zero, %zero), dynamic_slice_sizes={8,128}
  ROOT %update = bf16[128,128]{1,0:T(8,128)} dynamic-update-slice(%a, %rows, %zero, %zero)
}

%fused_sum (a.1: bf16[128,128], b.1: bf16[128,128]) -> (bf16[128,128], f32[4,100]) {
  %a.1 = bf16[128,128]{1,0:T(8,128)} parameter(0)
  %b.1 = bf16[128,128]{1,0:T(8,128)} parameter(1)
  %sum = bf16[128,128]{1,0:T(8,128)} add(%a.1, %b.1)
  %part = f32[4,100]{1,0:T(8,128)} custom-call(%sum), custom_call_target="Part"
  ROOT %tuple = (bf16[128,128]{1,0:T(8,128)}, f32[4,100]{1,0:T(8,128)}) tuple(%sum, %part)
}

ENTRY %main (p: bf16[128,128], q: bf16[128,128]) -> bf16[128,128] {
  %p = bf16[128,128]{1,0:T(8,128)} parameter(0)
  %q = bf16[128,128]{1,0:T(8,128)} parameter(1)
  %copy-start = (bf16[128,128]{1,0:T(8,128)S(1)}, bf16[128,128]{1,0:T(8,128)}, u32[]{:S(2)}) copy-start(%p)
  %copy-done = bf16[128,128]{1,0:T(8,128)S(1)} copy-done(%copy-start)
  %slice-start = ((bf16[128,128]{1,0:T(8,128)}), bf16[64,128]{1,0:T(8,128)S(1)}, s32[]{:S(2)}) slice-start(%q)
  %slice-done = bf16[64,128]{1,0:T(8,128)S(1)} slice-done(%slice-start)
  %fusion.1 = (bf16[128,128]{1,0:T(8,128)}, f32[4,100]{1,0:T(8,128)}) fusion(%copy-done, %q), calls=%fused_sum
  %sum.1 = bf16[128,128]{1,0:T(8,128)} get-tuple-element(%fusion.1), index=0
  ROOT %fusion.2 = bf16[128,128]{1,0:T(8,128)} fusion(%sum.1, /*index=1*/%p), calls=%fused_slices
}
"""
KIB = 2**10


def test_accesses_on_the_chip_are_apart():
    counted = traffic(ProgramText.parse(PROGRAM))
    copy_in, slice_in = 32 * KIB, 16 * KIB
    # The sum reads q and writes its result and 4 rows of 100 numbers, which have whole tiles of 8 · 128.
    sums = 32 * KIB + 32 * KIB + 8 * 128 * 4
    update = 2 * 8 * 128 * 2  # reads 8 rows of p and writes them into the sum
    assert counted == Traffic(copy_in + slice_in + sums + update, 1.0)


@pytest.mark.parametrize(
    ("message", "temporaries"),
    [
        ("RESOURCE_EXHAUSTED: … Used 20.50G of 15.75G hbm. Exceeded …", int(20.5 * 2**30) - 2**30),
        ("… required for HLO temporaries (770.00G) exceeds available HBM (15.75G).", 770 * 2**30),
        ("INTERNAL: another failure", None),
    ],
)  # fmt: skip
def test_both_refusals_of_the_compiler_are_understood(message, temporaries):
    assert measuring._temporaries(message, 2**30) == temporaries
