//! A generator as one file of C99 that needs nothing but a compiler: its pixels are those of [`Sampler`](crate::Sampler), byte for
//! byte, whatever the compiler may contract. Uses `safetensors`.

use std::io::{Result, Write};

use super::safetensors::Checkpoint;
use crate::model::tensor::Tensor;

/// The functions, which are the same for all generators.
const FUNCTIONS: &str = include_str!("generator.c");

/// Numbers per line.
const LINE: usize = 8;

/// Writes the file: `duel_noise` and `duel_generate`, with the weights in it as the bits of their floats. They are the average of the
/// parameters, if there is one, unless they are wanted `raw`.
///
/// # Errors
/// Those of `out`.
pub fn write(checkpoint: &Checkpoint, raw: bool, out: &mut dyn Write) -> Result<()> {
    let Checkpoint { step, digests, height, width, classes, config, .. } = checkpoint;
    let what = match digests.average.filter(|_| !raw) {
        Some(average) => format!("the average of its parameters, {average}"),
        None => format!("its parameters, of the state {}", digests.state),
    };
    write!(
        out,
        "/*\n * The generator of a run of duel after step {step}: {what}.\n *\n * float z[DUEL_LATENT]; unsigned char \
         pixels[DUEL_PIXELS];\n * duel_noise(seed, index, z); {call}\n *\n * makes image `index` of `duel sample --seed SEED{class}`: \
         DUEL_HEIGHT rows of DUEL_WIDTH pixels, white on black.\n * Noise of one's own is from -2^20 to 2^20.{other}\n * C99, with \
         floats and doubles of IEEE 754 that are evaluated as \
         such.\n */\n#include <float.h>\n#include <stdint.h>\n#include <string.h>\n\n#ifdef __FAST_MATH__\n#error \"-ffast-math \
         changes the pixels\"\n#endif\n#if FLT_EVAL_METHOD != 0\n#error \"floats are not evaluated as floats here\"\n#endif\n\n\
         #define DUEL_LATENT {latent}\n#define DUEL_CLASSES {classes}\n#define DUEL_HIDDEN {hidden}\n#define DUEL_HEIGHT {height}\n\
         #define DUEL_WIDTH {width}\n#define DUEL_PIXELS {pixels}\n",
        call = if *classes > 0 {
            "duel_generate(z, index % DUEL_CLASSES, pixels);"
        } else {
            "duel_generate(z, pixels);"
        },
        class = if *classes > 0 { " [--class CLASS]" } else { "" },
        other = if *classes > 0 { " A class that there is none of adds nothing." } else { "" },
        latent = config.latent_size,
        hidden = config.generator_hidden,
        pixels = height * width,
    )?;
    let names = ["duel_w1", "duel_b1", "duel_w2", "duel_b2"];
    let shapes = ["latent (and then classes) x hidden", "hidden", "hidden x pixels", "pixels"];
    for (tensor, values) in checkpoint.generator(raw) {
        let place = Tensor::GENERATOR.iter().position(|of| *of == tensor).unwrap_or(0);
        let (words, _) = values.as_chunks();
        write!(
            out,
            "\n/* {} */\nstatic const uint32_t {}[{}] = {{\n",
            shapes[place],
            names[place],
            words.len()
        )?;
        for line in words.chunks(LINE) {
            let numbers: Vec<String> =
                line.iter().map(|&word| format!("0x{:08x}u", u32::from_le_bytes(word))).collect();
            writeln!(out, "    {},", numbers.join(", "))?;
        }
        out.write_all(b"};\n")?;
    }
    let (signature, term) = if *classes > 0 {
        (
            "void duel_generate(const float z[DUEL_LATENT], int label, unsigned char pixels[DUEL_PIXELS])",
            "if (label >= 0 && label < DUEL_CLASSES) {\n        const float one = 1.0f;\n        duel_chain(&one, 1, \
             duel_w1 + (long)(DUEL_LATENT + label) * DUEL_HIDDEN, DUEL_HIDDEN, h);\n    }",
        )
    } else {
        ("void duel_generate(const float z[DUEL_LATENT], unsigned char pixels[DUEL_PIXELS])", "")
    };
    let functions = FUNCTIONS.replace("DUEL_SIGNATURE", signature).replace(
        "    DUEL_CLASS_TERM\n",
        &match term {
            "" => String::new(),
            term => format!("    {term}\n"),
        },
    );
    out.write_all(functions.as_bytes())
}
