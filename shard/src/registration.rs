//! Making a database a shard: schema, identity, and one position row per partition.

use sluice_model::Position;

use crate::{Identity, engine::Engine, fault::Fault, schema};

/// All in one transaction, so that a database is a whole shard or none.
pub(crate) async fn register(engine: &mut Engine, identity: &Identity, positions: &[Position]) -> Result<(), Fault> {
    engine.begin_registration().await?;
    schema::check_person(&engine.person_columns().await?)?;
    let found = engine.identities().await?;
    if found.is_empty() {
        engine.write_identity(identity).await?;
    } else {
        expect(&found, identity)?;
    }
    engine.add_positions(positions).await?;
    engine.commit().await
}

/// Two entries that reach the same database, or an address that reaches another one, are found here.
pub(crate) fn expect(found: &[Identity], expected: &Identity) -> Result<(), Fault> {
    match found {
        [one] if one == expected => Ok(()),
        [one] => Err(Fault::configuration(format!(
            "the database is shard {:?} of journal {:?}, not shard {:?} of journal {:?}",
            one.shard, one.journal_id, expected.shard, expected.journal_id
        ))),
        [] => Err(Fault::configuration("the database has no identity: it was never registered as a shard")),
        many => Err(Fault::configuration(format!("the table sluice_shard has {} rows instead of one", many.len()))),
    }
}
