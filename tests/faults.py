"""Plants small faults in the engine, one at a time, and checks that a named test, or the program, reports each.

    python3 tests/faults.py [NAME ...]
    python3 tests/faults.py --texts    # only whether every fault can still be planted: a moment
    python3 tests/faults.py --fifth    # every fifth one, others each day

Works on a copy of the committed and uncommitted files in a temporary folder. Exit status 1 if a fault went unnoticed.
"""

import shutil
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path

# name: (file, text, replacement, cargo test's target, the test that must fail); or in place of a target PROGRAM, and what
# `duel verify` must name on stderr.
PROGRAM = "duel verify"
FAULTS = {
    "fma_as_two_roundings": (
        "kernels/avx2.rs", "_mm256_fmadd_ps(a, b, c)", "_mm256_add_ps(_mm256_mul_ps(a, b), c)",
        "--test=kernels", "avx2::products_equal_the_reference_around_every_block_boundary"),
    "portable_fma_not_fused": (
        "kernels/wide.rs", "if FUSED_VECTORS {", "if true {",
        "--test=kernels", "wide::products_equal_the_reference_around_every_block_boundary"),
    "lanes_swapped": (
        "kernels/gemm.rs", "row.iter_mut().zip(&right)", "row.iter_mut().zip(right.iter().rev())",
        "--test=kernels", "avx2::products_equal_the_reference_around_every_block_boundary"),
    "block_boundary_off_by_one": (
        "kernels/gemm.rs", "done += count;", "done += count - (count > 1) as usize;",
        "--test=kernels", "avx2::products_equal_the_reference_around_every_block_boundary"),
    "chain_restarts_at_a_block": (
        "kernels/gemm.rs", "if !(first && self.start == Start::Zero) {",
        "if self.start != Start::Zero {",
        "--test=kernels", "avx2::products_equal_the_reference_around_every_block_boundary"),
    "negative_zero_kept": (
        "kernels/gemm.rs", "let x = if last { v.add(x, v.splat(0.0)) } else { x };", "",
        "--test=kernels", "avx2::products_equal_the_reference_around_every_block_boundary"),
    "one_lane_too_many": (
        "kernels/avx2.rs", "WINDOW.as_ptr().add(8 - n)", "WINDOW.as_ptr().add(8 - (n + 1).min(8))",
        "--test=kernels", "avx2::products_equal_the_reference_around_every_block_boundary"),
    "dead_unit_passes_gradient": (
        "kernels/dense.rs", "v.select(v.lt(zero, v.load(&self.h.row(i)[j..])), d, zero)",
        "v.select(v.le(zero, v.load(&self.h.row(i)[j..])), d, zero)",
        "--test=kernels", "avx2::other_kernels_equal_the_reference"),
    "half_a_square_twice": (
        "kernels/avx2.rs", "_mm256_insertf128_ps::<1>(low, _mm_loadu_ps(from.add((i + 4) *",
        "_mm256_insertf128_ps::<1>(low, _mm_loadu_ps(from.add(i *",
        "--test=kernels", "avx2::other_kernels_equal_the_reference"),
    "second_moment_rounded_twice": (
        "kernels/adam.rs", "v.fma(g, g, v.neg(s_old))", "v.sub(v.mul(g, g), s_old)",
        "--test=kernels", "avx2::other_kernels_equal_the_reference"),
    "moment_flushed_too_late": (
        "kernels/adam.rs", "flush(v, m_new, SMALLEST_M)", "flush(v, m_new, SMALLEST_V)",
        "--test=kernels", "avx2::moments_at_the_bounds_equal_the_reference"),
    "divergence_unseen_in_v": (
        "kernels/adam.rs", "v.select(p_fine, s_new, v.splat(f32::INFINITY))",
        "v.select(p_fine, v.splat(0.0), v.splat(f32::INFINITY))",
        "--test=kernels", "avx2::a_parameter_out_of_bounds_is_reported_in_every_lane"),
    "gradient_threshold_doubled": (
        "kernels/reference.rs", "(127 - 56) << 23", "(127 - 55) << 23",
        "--lib", "kernels::reference::tests::what_is_below_a_threshold_is_zero_and_nothing_else"),
    "cut_one_float_lower": (
        "kernels/reference.rs", "0xC18A_A123", "0xC18A_A124",
        "--lib", "kernels::reference::tests::the_output_cut_is_where_one_minus_sigmoid_rounds_to_one"),
    "emulated_fma_rounds_to_nearest": (
        "kernels/reference.rs", "|| bits & 1 == 1 {", "|| bits & 1 < 2 {",
        "--test=exhaustive", "emulated_fma_equals_the_hardware_on_difficult_triples"),
    "lanes_of_emulated_fma_round_twice": (
        "kernels/fma.rs", "(low & 0x1FFF_FFFF == 0x1000_0000)", "(low & 0x1FFF_FFFF == 0x1000_0001)",
        "--lib", "kernels::fma::tests::lanes_are_rounded_once"),
    "list_takes_the_wrong_term": (
        "kernels/lists.rs", "self.index[self.n] = k as u16;", "self.index[self.n] = k as u16 ^ 1;",
        "--test=kernels", "avx2::lists_hold_the_terms_that_are_not_zero"),
    "compressed_lane_miscounted": (
        "kernels/avx2.rs", "_mm_add_epi16(_mm_cvtepu8_epi16(lanes), _mm_set1_epi16(first as i16))",
        "_mm_cvtepu8_epi16(lanes)",
        "--test=kernels", "avx2::lists_hold_the_terms_that_are_not_zero"),
    "rows_of_a_pair_swapped": (
        "kernels/gemm.rs", "acc.iter_mut().zip(&value[t])", "acc.iter_mut().zip(value[t].iter().rev())",
        "--test=kernels", "avx2::leaving_out_zero_terms_changes_no_bit"),
    "list_block_loses_its_last_term": (
        "kernels/gemm.rs", "*next = unsafe {", "*next = (block > 0) as usize + unsafe {",
        "--test=kernels", "avx2::leaving_out_zero_terms_changes_no_bit"),
    "chain_handed_over_too_early": (
        "kernels/relay.rs", "relay.meeting.wait(|| relay.flag(worker - 1, block).is(round))?;", "",
        "--lib", "kernels::relay::tests::nobody_is_given_a_block_before_it_is_written_or_twice_or_while_it_is_read"),
    "block_handed_over_twice": (
        "kernels/relay.rs", "relay.flag(worker - 1, block).is(round)",
        "relay.flag(worker - 1, block).is(round) || relay.flag(worker - 1, block).is(self.written.max(1))",
        "--lib", "kernels::relay::tests::nobody_is_given_a_block_before_it_is_written_or_twice_or_while_it_is_read"),
    "round_begun_while_it_is_read": (
        "kernels/relay.rs", "relay.meeting.wait(|| relay.read_flag(reader).is(self.written))?;", "let _ = reader;",
        "--lib", "kernels::relay::tests::nobody_is_given_a_block_before_it_is_written_or_twice_or_while_it_is_read"),
    "chain_restarts_at_an_owner": (
        "model/layers.rs", "if turn.first { Start::Zero } else { Start::Partial }", "Start::Zero",
        "--test=same_bits", "any_number_of_owners_gives_the_same_bits_on_odd_sizes"),
    "pixels_of_the_neighbour": (
        "trainer/owner.rs", "first_pixel: pixels.start,", "first_pixel: pixels.start / 2,",
        "--test=same_bits", "any_number_of_owners_gives_the_same_bits_on_odd_sizes"),
    "panic_taken_for_a_missing_worker": (
        "trainer/mod.rs", "if meeting.failed() {", "if false {",
        "--test=team", "a_panic_that_the_hosts_threads_keep_to_themselves_is_an_error"),
    "uniform_of_23_bits": (
        "rng.rs", "self.0.next_u64() >> 40", "self.0.next_u64() >> 41",
        "--lib", "rng::tests::the_first_draws_are_known"),
    "shuffle_leaves_out_the_last_swap": (
        "rng.rs", "(1..order.len()).rev()", "(2..order.len()).rev()",
        "--lib", "rng::tests::the_first_draws_are_known"),
    "batch_one_ahead": (
        "data/batches.rs", "(step - 1) as u128 * batch.len()", "step as u128 * batch.len()",
        "--lib", "data::batches::tests::every_image_appears_once_per_epoch_and_batches_cross_its_end"),
    "loss_added_in_f32": (
        "model/loss.rs", "fold(0.0, |sum: f64, &x| sum + x as f64)", "fold(0.0, |sum: f32, &x| sum + x) as f64",
        "--lib", "model::loss::tests::the_mean_ascends_in_f64_and_is_rounded_once"),
    "loss_of_real_rows_left_out": (
        "model/discriminator.rs", "&[losses.row(0), losses.row(1)]", "&[losses.row(1), losses.row(1)]",
        "--test=gradients", "gradients_equal_central_differences"),
    "digest_of_v_before_m": (
        "model/tensor.rs", "[Part::Parameter, Part::AdamM, Part::AdamV]", "[Part::Parameter, Part::AdamV, Part::AdamM]",
        "--test=same_bits", "small_nets_on_every_backend"),
    "label_column_off_by_one": (
        "model/discriminator.rs", "classes[labels[batch[at + k] as usize] as usize * pack + k] = 1.0",
        "classes[(labels[batch[at + k] as usize] as usize * pack + pack + k) % classes.len()] = 1.0",
        "--test=gradients", "gradients_of_labelled_and_packed_nets_equal_central_differences"),
    "label_of_the_neighbour_in_a_pack": (
        "model/generator.rs", "column[i % pack] = one", "column[(i + 1) % pack] = one",
        "--test=gradients", "gradients_of_labelled_and_packed_nets_equal_central_differences"),
    "classes_of_the_next_step": (
        "model/generator.rs", "Purpose::Class(t)", "Purpose::Class(t + 1)",
        PROGRAM, "labelled net"),
    "pack_rows_interleaved": (
        "model/discriminator.rs", "weave(pack, |k| bytes(at + k), woven)",
        "weave(pack, |k| bytes(row + k * (batch.len() / pack)), woven)",
        "--test=gradients", "gradients_of_labelled_and_packed_nets_equal_central_differences"),
    "gradient_of_another_image_of_a_pack": (
        "model/generator.rs", "unweave(pack, image % pack, woven", "unweave(pack, (image + 1) % pack, woven",
        "--test=gradients", "gradients_of_labelled_and_packed_nets_equal_central_differences"),
    "average_started_at_zero": (
        "model/layout.rs", "average.row_mut(i).copy_from_slice(p.row(i))", "average.row_mut(i)[..p.cols()].fill(0.0)",
        "--test=resume", "an_average_begins_as_the_parameters_and_follows_them_by_its_formula"),
    "average_by_the_wrong_share": (
        "model/update.rs", "share: 1.0 - average", "share: average",
        "--test=resume", "an_average_begins_as_the_parameters_and_follows_them_by_its_formula"),
    "average_of_a_moment": (
        "model/update.rs", "let (average, p) = (piece.of_mut(&mut weight.average), piece.of(weight.p.view()));",
        "let (average, p) = (piece.of_mut(&mut weight.average), piece.of(weight.m.view()));",
        "--test=resume", "an_average_begins_as_the_parameters_and_follows_them_by_its_formula"),
    "average_forgotten_in_a_state": (
        "trainer/state.rs", "parts.chain([(Part::Average, averaged(sizes))])", "parts.chain([(Part::Average, &[][..])])",
        "--test=resume", "resume_at_any_of_300_steps_gives_the_same_average"),
    "wrong_constant_in_the_vector_kernels": (
        "kernels/math.rs", "v.splat(EXP_TAYLOR[0])", "v.splat(2.0 * EXP_TAYLOR[0])",
        PROGRAM, "wide: exp"),
    "given_noise_of_the_first_batch_alone": (
        "model/generator.rs", "&all[batch * rows * latent..][..count * latent]", "&all[..count * latent]",
        "--test=same_bits", "images_of_given_noise_are_those_of_the_seed_that_it_is_of"),
    "given_noise_of_the_first_worker_alone": (
        "model/generator.rs", "Noise::Given(&z[from * latent..to * latent])", "Noise::Given(&z[..(to - from) * latent])",
        "--test=same_bits", "images_of_given_noise_are_those_of_the_seed_that_it_is_of"),
    "header_of_images_in_memory_little_endian": (
        "data/idx.rs", "(size as u32).to_be_bytes()", "(size as u32).to_le_bytes()",
        "--test=same_bits", "images_from_memory_have_the_digest_of_their_file"),
}

root = Path(__file__).resolve().parent.parent
for name, (file, old, *_) in FAULTS.items():
    count = (root / "src" / file).read_text().count(old)
    assert count == 1, f"{name}: {old!r} occurs {count} times in {file}"
if sys.argv[1:] == ["--texts"]:
    sys.exit()
names = sys.argv[1:] or list(FAULTS)
if names == ["--fifth"]:
    names = list(FAULTS)[date.today().toordinal() % 5::5]
listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=root, capture_output=True, text=True, check=True)
missed = 0
with tempfile.TemporaryDirectory() as folder:
    copy = Path(folder)
    for file in listed.stdout.splitlines():
        if (root / file).is_file() and not file.endswith(".gz"):
            (copy / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / file, copy / file)
    # Without the command and its dependencies; what the tests here do needs little optimisation.
    base = ["cargo", "test", "--locked", "--quiet", "--no-default-features", "--features=rayon", "--config=profile.dev.opt-level=1"]

    def reports(target, what):
        """Whether the test fails, or the program says so and exits with the code of a mismatch; and what was printed."""
        command = ["cargo", "run", "--locked", "--quiet", "--", "verify", "--quick"] if target == PROGRAM else [*base, target, "--", "--exact", what]
        run = subprocess.run(command, cwd=copy, capture_output=True, text=True)
        if target == PROGRAM:
            return run.returncode == 7 and what in run.stderr, run
        return run.returncode != 0 and f"\n    {what}\n" in run.stdout, run

    for name in names:
        file, old, new, target, test = FAULTS[name]
        path = copy / "src" / file
        text = path.read_text()
        path.write_text(text.replace(old, new))
        reported, run = reports(target, test)
        path.write_text(text)
        missed += not reported
        print(f"{name}: {'reported by ' + test if reported else 'NOT REPORTED'}", flush=True)
        if not reported:
            print(run.stdout[-2000:], run.stderr[-3000:])
print(f"{len(names) - missed} of {len(names)} faults reported")
sys.exit(missed > 0)
