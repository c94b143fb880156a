//! Mutants: deliberate mistakes that a room's code can be told to make, to show that its tests notice each. Outside of
//! tests there are none.

/// Declares a room's mutants: the enum `Mutant`, `is_active`, which its code asks, and for tests `plant`.
macro_rules! mutants {
    ($($mutant:ident,)*) => {
        /// A mistake that the code can be told to make.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Mutant {
            $($mutant,)*
        }

        #[cfg(not(test))]
        #[inline(always)]
        pub(crate) fn is_active(_: Mutant) -> bool {
            false
        }

        #[cfg(test)]
        thread_local!(static PLANTED: std::cell::Cell<Option<Mutant>> = const { std::cell::Cell::new(None) });

        #[cfg(test)]
        pub(crate) fn is_active(mutant: Mutant) -> bool {
            PLANTED.get() == Some(mutant)
        }

        /// The mistake that this thread makes from now on.
        #[cfg(test)]
        pub(crate) fn plant(mutant: Option<Mutant>) {
            PLANTED.set(mutant);
        }
    };
}

pub(crate) use mutants;
