//! Canvases one after the other as a PNG that moves (APNG), 8-bit greyscale, by the `png` crate; a viewer that knows no such shows the
//! first. Uses `grid` and [`memory`].

use std::io::{Result, Write};

use super::grid::Canvas;
use crate::error::Error;
use crate::memory;

/// Height of a caption in pixels.
pub const CAPTION: usize = 9;
/// Columns from the left edge of a character to the next one's.
const ADVANCE: usize = 6;

/// Writes a film of frames of one size, shown at `per_second` frames, over and over; the last one is held for `hold` seconds, if
/// that is not 0. Each frame is made when it is written.
///
/// # Errors
/// Those of `to`; those of the encoder if there is no frame, or one is of another size.
pub fn write(
    frames: impl ExactSizeIterator<Item = Canvas>,
    per_second: u16,
    hold: u16,
    to: impl Write,
) -> Result<()> {
    let count = frames.len();
    let mut frames = frames.peekable();
    let (width, height) = frames.peek().map_or((0, 0), |frame| (frame.width, frame.height));
    let mut encoder = ::png::Encoder::new(to, width as u32, height as u32);
    encoder.set_color(::png::ColorType::Grayscale);
    encoder.set_depth(::png::BitDepth::Eight);
    encoder.set_compression(::png::Compression::High);
    if count > 1 {
        encoder.set_animated(count as u32, 0)?;
        encoder.set_frame_delay(1, per_second)?;
    }
    let mut writer = encoder.write_header()?;
    for (i, frame) in frames.enumerate() {
        if i > 0 && i + 1 == count && hold > 0 {
            writer.set_frame_delay(hold, 1)?;
        }
        writer.write_image_data(&frame.pixels)?;
    }
    Ok(writer.finish()?)
}

/// Refuses frames that there is no memory for: one of `frame`'s size with each pixel as a square of `scale` pixels, and as a picture.
///
/// # Errors
/// [`Error::Environment`].
pub fn fits(frame: &Canvas, scale: usize) -> std::result::Result<(), Error> {
    let bytes = frame.pixels.len().saturating_mul(scale).saturating_mul(scale);
    memory::room(bytes.saturating_mul(2), "a frame").map(drop)
}

impl Canvas {
    /// Each pixel as a square of `scale` pixels.
    pub fn scaled(&self, scale: usize) -> Canvas {
        let mut pixels = Vec::with_capacity(self.pixels.len() * scale * scale);
        for row in self.pixels.chunks(self.width) {
            let wide: Vec<u8> = row.iter().flat_map(|&pixel| std::iter::repeat_n(pixel, scale)).collect();
            (0..scale).for_each(|_| pixels.extend_from_slice(&wide));
        }
        Canvas { width: self.width * scale, height: self.height * scale, pixels }
    }

    /// With a line of black on white below it, as far as it fits; of digits, commas, spaces and the letters of "step".
    pub fn captioned(mut self, text: &str) -> Canvas {
        let top = self.pixels.len();
        self.pixels.resize(top + CAPTION * self.width, 255);
        self.height += CAPTION;
        for (n, character) in text.chars().take((self.width.saturating_sub(1)) / ADVANCE).enumerate() {
            for (y, row) in glyph(character).into_iter().enumerate() {
                for x in (0..5).filter(|x| row >> (4 - x) & 1 == 1) {
                    self.pixels[top + (y + 1) * self.width + 1 + n * ADVANCE + x] = 0;
                }
            }
        }
        self
    }
}

/// Seven rows of five pixels, the leftmost first; nothing of another character.
#[rustfmt::skip]
fn glyph(character: char) -> [u8; 7] {
    match character {
        '0' => [0b01110, 0b10001, 0b10011, 0b10101, 0b11001, 0b10001, 0b01110],
        '1' => [0b00100, 0b01100, 0b00100, 0b00100, 0b00100, 0b00100, 0b01110],
        '2' => [0b01110, 0b10001, 0b00001, 0b00010, 0b00100, 0b01000, 0b11111],
        '3' => [0b11111, 0b00010, 0b00100, 0b00010, 0b00001, 0b10001, 0b01110],
        '4' => [0b00010, 0b00110, 0b01010, 0b10010, 0b11111, 0b00010, 0b00010],
        '5' => [0b11111, 0b10000, 0b11110, 0b00001, 0b00001, 0b10001, 0b01110],
        '6' => [0b00110, 0b01000, 0b10000, 0b11110, 0b10001, 0b10001, 0b01110],
        '7' => [0b11111, 0b00001, 0b00010, 0b00100, 0b01000, 0b01000, 0b01000],
        '8' => [0b01110, 0b10001, 0b10001, 0b01110, 0b10001, 0b10001, 0b01110],
        '9' => [0b01110, 0b10001, 0b10001, 0b01111, 0b00001, 0b00010, 0b01100],
        ',' => [0b00000, 0b00000, 0b00000, 0b00000, 0b01100, 0b00100, 0b01000],
        's' => [0b00000, 0b00000, 0b01110, 0b10000, 0b01110, 0b00001, 0b11110],
        't' => [0b01000, 0b01000, 0b11100, 0b01000, 0b01000, 0b01001, 0b00110],
        'e' => [0b00000, 0b00000, 0b01110, 0b10001, 0b11111, 0b10000, 0b01110],
        'p' => [0b00000, 0b00000, 0b11110, 0b10001, 0b11110, 0b10000, 0b10000],
        _ => [0; 7],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canvas(shade: u8) -> Canvas {
        Canvas { width: 50, height: 3, pixels: (0..150).map(|i| shade ^ i as u8).collect() }
    }

    #[test]
    fn a_film_has_its_frames_and_their_times() {
        let frames = [canvas(0), canvas(90), canvas(7)];
        let mut bytes = Vec::new();
        write(frames.iter().cloned(), 12, 2, &mut bytes).unwrap();
        let mut reader = ::png::Decoder::new(std::io::Cursor::new(&bytes)).read_info().unwrap();
        let control = *reader.info().animation_control().unwrap();
        assert_eq!((control.num_frames, control.num_plays), (3, 0));
        for (i, frame) in frames.iter().enumerate() {
            let mut pixels = vec![0; 150];
            reader.next_frame(&mut pixels).unwrap();
            assert_eq!(pixels, frame.pixels);
            let control = reader.info().frame_control().unwrap();
            assert_eq!((control.delay_num, control.delay_den), if i == 2 { (2, 1) } else { (1, 12) });
        }
        let mut still = Vec::new();
        write(frames[..1].iter().cloned(), 12, 2, &mut still).unwrap();
        let reader = ::png::Decoder::new(std::io::Cursor::new(&still)).read_info().unwrap();
        assert!(reader.info().animation_control().is_none());
        assert!(write(frames[..0].iter().cloned(), 12, 2, Vec::new()).is_err());
    }

    #[test]
    fn a_caption_stands_below_what_stays_as_it_was() {
        let plain = canvas(3);
        let with = plain.clone().captioned("step 70,000 and more than fits");
        assert_eq!((with.width, with.height), (50, 3 + CAPTION));
        assert_eq!(with.pixels[..150], plain.pixels);
        let ink = |canvas: &Canvas| canvas.pixels[150..].iter().filter(|&&pixel| pixel == 0).count();
        assert!(ink(&with) > 60, "{}", ink(&with));
        assert_eq!(ink(&plain.clone().captioned("")), 0);
        let large = plain.scaled(3);
        assert_eq!((large.width, large.height, large.pixels[152]), (150, 9, plain.pixels[0]));
        assert_eq!(large.pixels[150 * 8 + 149], plain.pixels[149]);
    }
}
