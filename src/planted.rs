//! Deliberate mistakes that a room's code can be told to make, to show that its tests notice each. Outside of tests there
//! are none.

/// Declares a room's mistakes: the enum `Fault`, `makes`, which its code asks, and for tests `plant`.
macro_rules! mistakes {
    ($($mistake:ident,)*) => {
        /// A mistake that the code can be told to make.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Fault {
            $($mistake,)*
        }

        #[cfg(not(test))]
        #[inline(always)]
        pub(crate) fn makes(_: Fault) -> bool {
            false
        }

        #[cfg(test)]
        thread_local!(static PLANTED: std::cell::Cell<Option<Fault>> = const { std::cell::Cell::new(None) });

        #[cfg(test)]
        pub(crate) fn makes(fault: Fault) -> bool {
            PLANTED.get() == Some(fault)
        }

        /// The mistake that this thread makes from now on.
        #[cfg(test)]
        pub(crate) fn plant(fault: Option<Fault>) {
            PLANTED.set(fault);
        }
    };
}

pub(crate) use mistakes;
