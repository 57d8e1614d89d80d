//! The non-zero terms of each row of a matrix: what is left of a chain when zeros are left out (rule 3 of
//! [`reference`](super::reference)). Uses [`parallel`](crate::parallel).
//!
//! Row r owns `capacity` places from r·capacity on; the first `len[r]` hold (index, value) in ascending index.

use crate::parallel::Divide;

/// f32(1/255): a pixel's value is its byte times this, rounded.
pub const PIXEL: f32 = 1.0 / 255.0;

/// Shared lists.
#[derive(Clone, Copy, Debug)]
pub struct Lists<'a> {
    /// Term indices, `rows × capacity`.
    pub index: &'a [u16],
    /// Term values, `rows × capacity`.
    pub value: &'a [f32],
    /// Terms per row.
    pub len: &'a [u32],
    /// Places per row.
    pub capacity: usize,
}

impl<'a> Lists<'a> {
    /// The terms of row `r`: their indices and their values.
    #[inline(always)]
    pub fn row(self, r: usize) -> (&'a [u16], &'a [f32]) {
        let (first, len) = (r * self.capacity, self.len[r] as usize);
        (&self.index[first..first + len], &self.value[first..first + len])
    }
    /// Rows `first..first + rows`.
    pub fn sub_rows(self, first: usize, rows: usize) -> Lists<'a> {
        let places = first * self.capacity..(first + rows) * self.capacity;
        Lists {
            index: &self.index[places.clone()],
            value: &self.value[places],
            len: &self.len[first..first + rows],
            ..self
        }
    }
}

/// Lists to be written.
#[derive(Debug)]
pub struct ListsMut<'a> {
    /// Term indices, `rows × capacity`.
    pub index: &'a mut [u16],
    /// Term values, `rows × capacity`.
    pub value: &'a mut [f32],
    /// Terms per row.
    pub len: &'a mut [u32],
    /// Places per row.
    pub capacity: usize,
}

impl<'a> ListsMut<'a> {
    /// A shared view.
    pub fn view(&self) -> Lists<'_> {
        Lists { index: self.index, value: self.value, len: self.len, capacity: self.capacity }
    }
    /// The same lists for a shorter time.
    pub fn reborrow(&mut self) -> ListsMut<'_> {
        ListsMut { index: self.index, value: self.value, len: self.len, capacity: self.capacity }
    }
    /// Makes row `r` the list of the non-zero pixels of an image.
    pub fn set_image(&mut self, r: usize, image: &[u8]) {
        let places = r * self.capacity..(r + 1) * self.capacity;
        let (index, value) = (&mut self.index[places.clone()], &mut self.value[places]);
        assert!(image.len() <= index.len());
        let mut n = 0;
        for (k, &pixel) in image.iter().enumerate() {
            // Written always, kept only where the pixel is not 0: no branch to mispredict.
            index[n] = k as u16;
            value[n] = pixel as f32 * PIXEL;
            n += (pixel != 0) as usize;
        }
        self.len[r] = n as u32;
    }
    /// Makes these the lists of the transpose of `other`: the columns' terms, in ascending row.
    pub fn set_transpose(&mut self, other: Lists<'_>) {
        assert!(other.len.len() <= self.capacity);
        self.len.fill(0);
        for r in 0..other.len.len() {
            let (index, value) = other.row(r);
            for (&k, &x) in index.iter().zip(value) {
                let place = k as usize * self.capacity + self.len[k as usize] as usize;
                self.index[place] = r as u16;
                self.value[place] = x;
                self.len[k as usize] += 1;
            }
        }
    }
}

impl Divide for ListsMut<'_> {
    fn rows(&self) -> usize {
        self.len.len()
    }
    fn divide(self, at: usize) -> (Self, Self) {
        let capacity = self.capacity;
        let (index, index_rest) = self.index.split_at_mut(at * capacity);
        let (value, value_rest) = self.value.split_at_mut(at * capacity);
        let (len, len_rest) = self.len.split_at_mut(at);
        (
            ListsMut { index, value, len, capacity },
            ListsMut { index: index_rest, value: value_rest, len: len_rest, capacity },
        )
    }
}
