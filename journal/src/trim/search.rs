//! The position of a moment.

use sluice_model::Position;

/// The first position from `from` on, and before `to`, whose message was stored at `moment` or later; `to` where there is none.
///
/// `stamp` says when a position's message was stored; it is asked for some log2(to - from) positions. `None` (there is none, or the
/// copy asked has not got it yet) counts as later: what nobody can date is kept.
///
/// Messages of a partition are in the order of their stamps, as the server that stores them gives those too. Where its clock was
/// set back the answer is the place of one of the crossings, so it may be off by as much time as the clock was.
///
/// # Errors
/// What `stamp` gives.
pub async fn first_since<Answer, Error>(
    from: Position,
    to: Position,
    moment: i64,
    mut stamp: impl FnMut(Position) -> Answer,
) -> Result<Position, Error>
where
    Answer: Future<Output = Result<Option<i64>, Error>>,
{
    // All before `low` are earlier; `high` and all after it are later, or beyond the range.
    let (mut low, mut high) = (from, to.max(from));
    while low < high {
        let middle = Position::new(low.get() + (high.get() - low.get()) / 2).expect("it lies between two positions");
        match stamp(middle).await? {
            Some(stamp) if stamp < moment => low = middle.next(),
            _ => high = middle,
        }
    }
    Ok(low)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;
    use sluice_model::Partition;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]
        #[test]
        fn it_is_the_first_that_a_look_at_each_would_find(
            steps in prop::collection::vec(0i64..3, 0..200), moment in -1i64..400, trimmed in 0usize..20,
        ) {
            let stamps: Vec<i64> = steps.iter().scan(0, |sum, step| { *sum += step; Some(*sum) }).collect();
            let first = Position::first(Partition::new(7));
            let at = |index: usize| Position::new(first.get() + index as u64).unwrap();
            let wanted = stamps.iter().position(|stamp| *stamp >= moment).unwrap_or(stamps.len());
            let mut asked = 0;
            let found = first_since(first, at(stamps.len()), moment, |position| {
                asked += 1;
                let index = usize::try_from(position.get() - first.get()).unwrap();
                std::future::ready(Ok::<_, Infallible>(Some(stamps[index])))
            });
            let found = futures::executor::block_on(found).unwrap();
            prop_assert_eq!(found, at(wanted));
            prop_assert!(asked <= 8, "{} questions for {} messages", asked, stamps.len());

            // A prefix that vanishes while we look makes us keep more, never less.
            let found = first_since(first, at(stamps.len()), moment, |position| {
                let index = usize::try_from(position.get() - first.get()).unwrap();
                std::future::ready(Ok::<_, Infallible>((index >= trimmed).then(|| stamps[index])))
            });
            prop_assert!(futures::executor::block_on(found).unwrap() <= at(wanted));
        }
    }
}
