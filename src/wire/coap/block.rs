//! The value of Block1 and Block2: which part of a body this is (RFC 7959 §2.2, RFC 8323 §6).

use std::fmt;

/// Which block, whether more follow, and how large blocks are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Block {
    number: u32,
    more: bool,
    size: BlockSize,
}

/// The size of blocks as an exponent: 16 to 1024 bytes, or BERT, which is 1024 bytes and many blocks in one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockSize(u8);

/// Why something is no block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// The value has more than three bytes.
    #[error("a block option has at most three bytes")]
    Length,
    /// The number needs more than twenty bits.
    #[error("block {0} is beyond the last one that a message can name")]
    Number(u32),
}

impl Block {
    /// The highest number that fits.
    pub const MAX_NUMBER: u32 = (1 << 20) - 1;

    /// A block. Its number is at most [`Block::MAX_NUMBER`].
    pub fn new(number: u32, more: bool, size: BlockSize) -> Result<Self, BlockError> {
        if number > Self::MAX_NUMBER { Err(BlockError::Number(number)) } else { Ok(Self { number, more, size }) }
    }

    /// The block that begins at an offset, which is a multiple of the size, or nothing where no number reaches it.
    pub fn at(offset: usize, more: bool, size: BlockSize) -> Option<Self> {
        Self::new(u32::try_from(offset / size.bytes()).ok()?, more, size).ok()
    }

    /// Reads the value of an option.
    pub fn from_value(value: &[u8]) -> Result<Self, BlockError> {
        if value.len() > 3 {
            return Err(BlockError::Length);
        }
        let all = value.iter().fold(0u32, |all, byte| all << 8 | u32::from(*byte));
        Ok(Self { number: all >> 4, more: all & 8 != 0, size: BlockSize((all & 7) as u8) })
    }

    /// The value as the number that an option holds.
    pub fn to_uint(self) -> u32 {
        self.number << 4 | u32::from(self.more) << 3 | u32::from(self.size.0)
    }

    /// The number of the block, counted in blocks of this size.
    pub fn number(self) -> u32 {
        self.number
    }

    /// Whether blocks follow this one.
    pub fn more(self) -> bool {
        self.more
    }

    /// How large the blocks are.
    pub fn size(self) -> BlockSize {
        self.size
    }

    /// Where in the body the block begins.
    pub fn offset(self) -> usize {
        self.number as usize * self.size.bytes()
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/", self.number, u8::from(self.more))?;
        if self.size.is_bert() { f.write_str("BERT") } else { write!(f, "{}", self.size.bytes()) }
    }
}

impl BlockSize {
    /// Blocks of 16 bytes, the smallest.
    pub const MIN: Self = Self(0);
    /// Blocks of 1024 bytes, the largest over UDP.
    pub const MAX: Self = Self(6);
    /// Several blocks of 1024 bytes in one message, over reliable transports only (RFC 8323 §6).
    pub const BERT: Self = Self(7);

    /// The size whose exponent on the wire is this one, 0 to 7.
    pub const fn from_exponent(exponent: u8) -> Option<Self> {
        if exponent <= 7 { Some(Self(exponent)) } else { None }
    }

    /// The size of that many bytes: a power of two from 16 to 1024.
    pub fn from_bytes(bytes: usize) -> Option<Self> {
        (0..=6).map(Self).find(|size| size.bytes() == bytes)
    }

    /// The largest size of no more than that many bytes; 16 where even that is too large.
    pub fn at_most(bytes: usize) -> Self {
        (0..=6).rev().map(Self).find(|size| size.bytes() <= bytes).unwrap_or(Self::MIN)
    }

    /// The exponent on the wire.
    pub const fn exponent(self) -> u8 {
        self.0
    }

    /// How many bytes one block has.
    pub const fn bytes(self) -> usize {
        if self.0 >= 6 { 1024 } else { 16 << self.0 }
    }

    /// Whether a message carries several blocks. Over UDP this exponent is reserved (RFC 7959 §2.2).
    pub const fn is_bert(self) -> bool {
        self.0 == 7
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc7959_section_2_2_a_value_of_no_bytes_is_the_only_block_of_sixteen() {
        let block = Block::from_value(&[]).unwrap();
        assert_eq!((block.number(), block.more(), block.size().bytes()), (0, false, 16));
        assert_eq!(block.to_uint(), 0);
    }

    #[test]
    fn rfc7959_section_3_the_examples_read_as_they_are_written() {
        for (uint, text) in [(0x0eu32, "0/1/1024"), (0x1a, "1/1/64"), (0x26, "2/0/1024"), (0x00ff_fff7, "1048575/0/BERT")] {
            let block = Block::from_value(&uint.to_be_bytes()[1..]).unwrap();
            assert_eq!(block.to_string(), text);
            assert_eq!(block.to_uint(), uint);
            assert_eq!(Block::new(block.number(), block.more(), block.size()), Ok(block));
        }
    }

    #[test]
    fn four_bytes_and_a_number_of_21_bits_are_refused() {
        assert_eq!(Block::from_value(&[0, 0, 0, 1]), Err(BlockError::Length));
        assert_eq!(Block::new(1 << 20, false, BlockSize::MIN), Err(BlockError::Number(1 << 20)));
    }

    #[test]
    fn a_size_is_found_by_its_bytes() {
        assert_eq!(BlockSize::from_bytes(512).map(BlockSize::exponent), Some(5));
        assert_eq!(BlockSize::from_bytes(500), None);
        assert_eq!(BlockSize::at_most(500).bytes(), 256);
        assert_eq!(BlockSize::at_most(3), BlockSize::MIN);
        assert_eq!(BlockSize::BERT.bytes(), 1024);
        assert_eq!(BlockSize::from_exponent(8), None);
    }
}
