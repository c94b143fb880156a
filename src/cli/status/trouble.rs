//! What can be wrong with a mount.

use super::look::{Answer, Check, Checked, Seen};

/// One thing that is wrong, or waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Its daemon did not answer in time.
    Silent,
    Gone,
    Forbidden,
    NotAsked(String),
    /// Nothing is written any more.
    Stopped(String),
    /// Storing everything failed, and is tried again.
    Delayed(String),
    Damaged(usize),
    FoundByCheck {
        damaged: usize,
        /// It had read all content.
        data: bool,
    },
    Conflicts(usize),
    NotArrived(usize),
    /// Of what has not arrived, so much is only a placeholder, and no client fetches it by itself.
    Placeholders(usize),
}

impl Trouble {
    /// Whether it does not end by itself.
    pub fn needs_a_person(&self) -> bool {
        !matches!(self, Trouble::NotArrived(_) | Trouble::Placeholders(_) | Trouble::Forbidden)
    }

    /// Its word in JSON.
    pub fn word(&self) -> &'static str {
        match self {
            Trouble::Silent => "silent",
            Trouble::Gone => "gone",
            Trouble::Forbidden => "forbidden",
            Trouble::NotAsked(_) => "not-asked",
            Trouble::Stopped(_) => "stopped",
            Trouble::Delayed(_) => "delayed",
            Trouble::Damaged(_) => "damaged",
            Trouble::FoundByCheck { .. } => "found-by-check",
            Trouble::Conflicts(_) => "conflicts",
            Trouble::NotArrived(_) => "not-arrived",
            Trouble::Placeholders(_) => "placeholders",
        }
    }
}

/// What is wrong, by what was seen; the worst first.
pub fn of(seen: Option<&Seen>) -> Vec<Trouble> {
    let Some(seen) = seen else { return vec![Trouble::Silent] };
    let mut troubles = Vec::new();
    match &seen.answer {
        Answer::Gone => troubles.push(Trouble::Gone),
        Answer::Forbidden => troubles.push(Trouble::Forbidden),
        Answer::Failed(why) => troubles.push(Trouble::NotAsked(why.clone())),
        Answer::Status(status) => {
            let condition = &status.condition;
            troubles.extend(condition.stopped.clone().map(Trouble::Stopped));
            if condition.stopped.is_none() {
                troubles.extend(condition.delayed.clone().map(Trouble::Delayed));
            }
        }
    }
    let some = |count: usize, trouble: fn(usize) -> Trouble| (count > 0).then(|| trouble(count));
    troubles.extend(some(seen.findings.unwrap_or(0), Trouble::Damaged));
    if let Check::Done(Checked { damaged: damaged @ 1.., data, .. }) = seen.checked {
        troubles.push(Trouble::FoundByCheck { damaged, data });
    }
    troubles.extend(some(seen.status().map_or(0, |status| status.condition.conflicts), Trouble::Conflicts));
    let on_its_way = seen.not_arrived.unwrap_or(0).saturating_sub(seen.placeholders);
    troubles.extend(some(seen.placeholders, Trouble::Placeholders));
    troubles.extend(some(on_its_way, Trouble::NotArrived));
    troubles
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::ops::Condition;
    use crate::mount::Status;

    fn seen(condition: Condition) -> Seen {
        let (transport, process) = ("uring".into(), 7);
        let status = Status { transport, process, available: None, capacity: None, condition };
        Seen { answer: Answer::Status(Box::new(status)), ..Seen::default() }
    }

    #[test]
    fn the_worst_comes_first_and_what_only_waits_needs_nobody() {
        assert_eq!(of(None), [Trouble::Silent]);
        assert_eq!(of(Some(&seen(Condition { unstored: 7, ..Condition::default() }))), []);
        let full = Condition { delayed: Some("full".into()), conflicts: 2, ..Condition::default() };
        let checked = Check::Done(Checked { when: 1, data: true, damaged: 3, waiting: 9 });
        let worst = Seen { findings: Some(1), not_arrived: Some(4), checked, ..seen(full.clone()) };
        let wanted = [
            Trouble::Delayed("full".into()),
            Trouble::Damaged(1),
            Trouble::FoundByCheck { damaged: 3, data: true },
            Trouble::Conflicts(2),
            Trouble::NotArrived(4),
        ];
        assert_eq!(of(Some(&worst)), wanted);
        let stopped = Condition { stopped: Some("gone".into()), ..full };
        assert_eq!(of(Some(&seen(stopped)))[0], Trouble::Stopped("gone".into()));
        let waiting = of(Some(&Seen { not_arrived: Some(4), ..seen(Condition::default()) }));
        assert_eq!(waiting, [Trouble::NotArrived(4)]);
        assert!(!waiting[0].needs_a_person());
        let shown = Seen { not_arrived: Some(4), placeholders: 3, ..seen(Condition::default()) };
        assert_eq!(of(Some(&shown)), [Trouble::Placeholders(3), Trouble::NotArrived(1)]);
    }
}
