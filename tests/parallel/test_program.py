"""Compiled programs read from their text: loops, groups of devices, products as a TPU writes them."""

import pytest

from biomechjax.parallel.costs import collectives, flops
from biomechjax.parallel.program import Program, shape_bytes

LOOP = """
%add (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %sum = f32[] add(%a, %b)
}

%body (p: (s32[], f32[16,4], s32[])) -> (s32[], f32[16,4], s32[]) {
  %p = (s32[], f32[16,4]{1,0:T(8,128)}, /*index=2*/s32[]) parameter(0)
  %i = s32[] get-tuple-element(%p), index=0
  %x = f32[16,4]{1,0} get-tuple-element(%p), index=1
  %step = s32[] get-tuple-element(%p), index=2
  %reduced = f32[16,4]{1,0} all-reduce(%x), channel_id=1, replica_groups=[2,4]<=[4,2]T(1,0), to_apply=%add
  %next = s32[] add(%i, %step)
  ROOT %out = (s32[], f32[16,4], s32[]) tuple(%next, %reduced, %step)
}

%condition (p.1: (s32[], f32[16,4], s32[])) -> pred[] {
  %p.1 = (s32[], f32[16,4], s32[]) parameter(0)
  %i.1 = s32[] get-tuple-element(%p.1), index=0
  %limit = s32[] constant(11)
  ROOT %less = pred[] compare(%i.1, %limit), direction=LT
}

ENTRY %main (x.1: f32[16,4]) -> f32[16,4] {
  %x.1 = f32[16,4]{1,0} parameter(0)
  %zero = s32[] constant(1)
  %first = s32[] copy(%zero)
  %two = s32[] constant(2)
  %state = (s32[], f32[16,4], s32[]) tuple(%first, %x.1, %two)
  %loop = (s32[], f32[16,4], s32[]) while(%state), condition=%condition, body=%body
  ROOT %result = f32[16,4] get-tuple-element(%loop), index=1
}
"""


def entry(*lines: str) -> Program:
    body = "\n".join(f"  {line}" for line in lines)
    return Program(f"ENTRY %main (x: f32[1]) -> f32[1] {{\n{body}\n}}\n")


def test_a_loop_is_counted_by_its_first_value_its_step_and_its_limit():
    """From 1 by 2 to below 11: five times."""
    program = Program(LOOP)
    (found,) = collectives(program, 8)
    assert (program.runs["body"], program.unknown_loops) == (5, 0)
    assert (found.kind, found.times) == ("all-reduce", 5)
    assert found.group == (0, 2, 4, 6)  # [2,4]<=[4,2]T(1,0): each group has every second device
    assert found.sent == 2 * 3 / 4 * 16 * 4 * 4


def test_trips_that_the_compiler_wrote_down_are_taken_as_they_are():
    known = LOOP.replace("body=%body", 'body=%body, backend_config={"known_trip_count":{"n":"7"}}')
    assert Program(known).runs["body"] == 7


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("direction=LT", "direction=NE"),
        ("%limit = s32[] constant(11)", "%limit = s32[] get-tuple-element(%p.1), index=2"),
        ("%next = s32[] add(%i, %step)", "%next = s32[] multiply(%i, %step)"),
        ("%zero = s32[] constant(1)", "%zero = s32[] parameter(1)"),
        ("tuple(%next, %reduced, %step)", "tuple(%next, %reduced, %next)"),
    ],
)
def test_a_loop_that_cannot_be_told_is_counted_once_and_told(old, new):
    assert old in LOOP
    program = Program(LOOP.replace(old, new))
    assert (program.runs["body"], program.unknown_loops) == (1, 1)


@pytest.mark.parametrize(
    ("attributes", "group"),
    [
        ("replica_groups={{0,3},{1,2}}", (0, 3)),
        ("replica_groups=[1,8]<=[8]", tuple(range(8))),
        ("replica_groups=[4,2]<=[8]", (0, 1)),
        ("replica_groups=[2,4]<=[2,2,2]T(1,0,2)", (0, 1, 4, 5)),
        ("replica_groups=mesh['a'=2,'b'=4] {'b'}", (0, 1, 2, 3)),
        ("replica_groups=mesh['a'=2,'b'=4] {'a'}", (0, 4)),
        ("replica_groups=mesh['a'=2,'b'=2,'c'=2] {'a','c'}", (0, 1, 4, 5)),
        ("replica_groups=mesh['a'=4,'b'=2], device_ids=([2,2,2]T(1,0,2)) {'b'}", (0, 1)),
        ("replica_groups=mesh['a'=2,'b'=4], device_ids=([2,2,2]T(1,0,2)) {'b'}", (0, 1, 4, 5)),
        ("replica_groups={}", tuple(range(8))),
    ],
)
def test_groups_of_devices(attributes, group):
    x = "%x = bf16[8,10]{1,0} parameter(0)"
    (found,) = collectives(
        entry(x, f"%y = bf16[8,80]{{1,0}} all-gather(%x), channel_id=1, {attributes}, dimensions={{1}}"), 8
    )
    assert (found.group, found.sent) == (group, 160 * (len(group) - 1))


def test_groups_in_another_notation_are_not_guessed():
    lines = "%x = bf16[8] parameter(0)", "%y = bf16[8] all-reduce(%x), replica_groups=ring[8], to_apply=%add"
    with pytest.raises(ValueError, match=r"y: replica groups .*ring\[8\]"):
        collectives(entry(*lines), 8)


def test_bytes_that_each_kind_sends():
    x, y = "%x = f32[8,10]{1,0} parameter(0)", "%y = bf16[100]{0} parameter(1)"
    found = collectives(
        entry(
            x,
            y,
            "%a = (f32[1,10], bf16[13]) reduce-scatter(%x, %y), channel_id=1, replica_groups=[1,8]<=[8], to_apply=%add",
            "%b = f32[8,10] all-to-all(%x), channel_id=2, replica_groups=[1,8]<=[8]",
            "%c = (f32[8,10], f32[8,10], u32[]) collective-permute-start(%x), source_target_pairs={{0,1},{1,0}}",
            "%d = f32[8,10] collective-permute-done(%c)",
            "%e = f32[8,10] all-reduce(%x), channel_id=4, replica_groups={{0},{1}}, to_apply=%add",
        ),
        8,
    )
    assert [(c.kind, c.sent) for c in found] == [
        ("reduce-scatter", 7 / 8 * (320 + 200)),
        ("all-to-all", 7 / 8 * 320),
        ("collective-permute", 320),
    ]  # nothing moves within a group of one device


def test_pieces_of_one_exchange_are_counted_once():
    """A TPU spreads an exchange over fusions that compute meanwhile."""
    piece = "%async_collective_fusion{0} (x: f32[4]) -> f32[8] {{\n  %x = f32[4]{{0}} parameter(0)\n" + (
        "  ROOT %g = f32[8]{{0}} all-gather(%x), channel_id=9, replica_groups=[1,2]<=[2], dimensions={{0}}\n}}\n"
    )
    calls = [f"  %f{i} = f32[8] fusion(%x), kind=kCustom, calls=%async_collective_fusion{i}" for i in range(3)]
    text = "".join(piece.format(i) for i in range(3)) + "ENTRY %main (x: f32[4]) -> f32[8] {\n"
    program = Program(text + "  %x = f32[4] parameter(0)\n" + "\n".join(calls) + "\n}\n")
    assert [(c.times, c.sent) for c in collectives(program, 2)] == [(1, 16)]


@pytest.mark.parametrize(
    ("left", "right", "out", "attributes", "expected"),
    [
        ("6,4", "4,5", "6,5", "dim_labels=bf_io->bf", 2 * 6 * 4 * 5),
        # Heads as an outer axis of the window, widths in two parts: [1024, 288] x [288, 8 * 256].
        (
            "1024,2,144,1", "8,256,2,144", "1024,8,256,1",
            "window={size=8x2 pad=7_7x0_0 rhs_reversal=1x0}, dim_labels=b1f0_0o1i->b0f1", 2 * 1024 * 288 * 8 * 256,
        ),
        # Four heads, each with itself.
        (
            "4,341,256,1", "341,256,4,1", "4,341,341,1",
            "window={size=4x1 stride=3x1 lhs_dilate=4x1}, dim_labels=0bf1_oi01->0bf1", 2 * 4 * 341 * 341 * 256,
        ),
    ],
)  # fmt: skip
def test_products_of_a_tpu(left, right, out, attributes, expected):
    lines = f"%x = bf16[{left}] parameter(0)", f"%y = bf16[{right}] parameter(1)"
    assert flops(entry(*lines, f"%z = bf16[{out}] convolution(%x, %y), {attributes}")) == expected


def test_products_of_batches_contract_what_they_say():
    lines = "%x = f32[3,5,7] parameter(0)", "%y = f32[3,7,2] parameter(1)"
    dot = "%z = f32[3,5,2] dot(%x, %y), lhs_batch_dims={0}, lhs_contracting_dims={2}, rhs_contracting_dims={1}"
    assert flops(entry(*lines, dot)) == 2 * 3 * 5 * 7 * 2


def test_bytes_of_shapes():
    assert shape_bytes("(bf16[2,3]{1,0:T(8,128)(2,1)S(1)}, /*index=1*/s4[10], pred[], u32[4])") == 12 + 5 + 1 + 16
