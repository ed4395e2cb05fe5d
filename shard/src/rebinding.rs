//! A shard whose journal was made anew, or no longer holds what follows on its positions.

use crate::{Identity, StoredPosition, engine::Engine, fault::Fault, registration::expect};

/// All in one transaction, so that no position is taken for one of the wrong journal.
pub(crate) async fn rebind(
    engine: &mut Engine,
    from: &Identity,
    to: &Identity,
    positions: &[StoredPosition],
) -> Result<(), Fault> {
    engine.begin_registration().await?;
    let found = engine.identities().await?;
    if expect(&found, to).is_err() {
        expect(&found, from)?;
        engine.change_journal(to).await?;
    }
    let stored = engine.positions().await?;
    for later in positions {
        let partition = later.position.partition();
        if !stored.contains_key(&partition) {
            return Err(Fault::configuration(format!("no journal_position row of partition {partition}")));
        }
        engine.go_on_after(*later).await?;
    }
    engine.commit().await
}
