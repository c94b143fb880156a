//! Which of the possible states a power cut leaves: every one in turn, or some drawn from a seed.

use super::Power;
use crate::store::image::PAGE;

/// Bytes that a disk writes all or none of.
pub const SECTOR: usize = 512;
/// Sectors in a page.
pub const SECTORS: usize = PAGE / SECTOR;

/// Decides what survived.
pub trait Choose {
    /// A number below `options` (at least 2): 0 for the oldest possibility, the last for the newest.
    fn choose(&mut self, options: usize) -> usize;

    /// For each sector of a torn page, which of its `versions` it has: by default the newest and the oldest in turn.
    fn tear(&mut self, versions: usize) -> [usize; SECTORS] {
        std::array::from_fn(|sector| if sector % 2 == 0 { versions - 1 } else { 0 })
    }
}

/// Chooses from a seed. Some seeds lean towards old, new or extreme states, which even odds would hardly ever give when
/// there is much to choose.
pub struct Seeded {
    state: u64,
    leaning: Leaning,
}

#[derive(Clone, Copy)]
enum Leaning {
    None,
    Old,
    New,
    Extremes,
}

impl Seeded {
    pub fn new(seed: u64) -> Seeded {
        let mut seeded = Seeded { state: seed, leaning: Leaning::None };
        seeded.leaning = [Leaning::None, Leaning::Old, Leaning::New, Leaning::Extremes][seeded.below(4)];
        seeded
    }

    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        ((u128::from(self.next()) * end as u128) >> 64) as usize
    }
}

impl Choose for Seeded {
    fn choose(&mut self, options: usize) -> usize {
        let leans = self.below(8) != 0;
        match self.leaning {
            Leaning::Old if leans => 0,
            Leaning::New if leans => options - 1,
            Leaning::Extremes if leans => self.below(2) * (options - 1),
            Leaning::None | Leaning::Old | Leaning::New | Leaning::Extremes => self.below(options),
        }
    }

    fn tear(&mut self, versions: usize) -> [usize; SECTORS] {
        std::array::from_fn(|_| self.below(versions))
    }
}

/// Chooses one way after the other until all were chosen.
#[derive(Default)]
struct Exhaustive {
    /// (chosen, options) of each choice, in order.
    path: Vec<(usize, usize)>,
    depth: usize,
}

impl Exhaustive {
    /// Goes on to the next way; false when there is none.
    fn advance(&mut self) -> bool {
        self.depth = 0;
        while let Some((chosen, options)) = self.path.pop() {
            if chosen + 1 < options {
                self.path.push((chosen + 1, options));
                return true;
            }
        }
        false
    }
}

impl Choose for Exhaustive {
    fn choose(&mut self, options: usize) -> usize {
        if self.depth == self.path.len() {
            self.path.push((0, options));
        }
        self.depth += 1;
        self.path[self.depth - 1].0
    }
}

/// Always the oldest possibility, as if nothing had arrived, or always the newest, as if everything had.
#[derive(Clone, Copy, Debug)]
pub enum Extreme {
    Oldest,
    Newest,
}

impl Choose for Extreme {
    fn choose(&mut self, options: usize) -> usize {
        match self {
            Extreme::Oldest => 0,
            Extreme::Newest => options - 1,
        }
    }
}

/// The stores that a power cut can leave; see [`Power::enumerate_cuts`].
pub struct Cuts {
    from: Power,
    left: Left,
}

enum Left {
    All(Exhaustive),
    Drawn { seed: u64, next: usize, limit: usize },
    Nothing,
}

impl Cuts {
    pub(super) fn new(from: Power, limit: usize, seed: u64) -> Cuts {
        let all = from.states() <= limit as u128;
        let left = if all { Left::All(Exhaustive::default()) } else { Left::Drawn { seed, next: 0, limit } };
        Cuts { from, left }
    }

    /// Whether these are all that there are.
    pub fn are_all(&self) -> bool {
        !matches!(self.left, Left::Drawn { .. })
    }
}

impl Iterator for Cuts {
    type Item = Power;

    fn next(&mut self) -> Option<Power> {
        match &mut self.left {
            Left::All(choose) => {
                let cut = self.from.cut(choose);
                if !choose.advance() {
                    self.left = Left::Nothing;
                }
                Some(cut)
            }
            Left::Drawn { seed, next, limit } if *next < *limit => {
                let number = *next;
                *next += 1;
                Some(match number {
                    0 => self.from.cut(&mut Extreme::Oldest),
                    1 => self.from.cut(&mut Extreme::Newest),
                    // The seeds lie far apart, so that draws from neighbouring `seed`s have none in common.
                    _ => self.from.cut(&mut Seeded::new(seed.wrapping_add((number as u64) << 32))),
                })
            }
            Left::Drawn { .. } | Left::Nothing => None,
        }
    }
}
