//! Passwords at rest.

use std::fs;

use secrecy::ExposeSecret;
use sluice_directory::{
    Pool,
    api::ShardChange,
    store::{Earlier, PasswordError, Store},
};

use crate::support::{Meta, add, shard};

pub(crate) async fn a_password_is_sealed_comes_back_and_is_never_shown(meta: &Meta) {
    let store = meta.open().await;
    add(&store, "a", Pool::Shared).await;
    let stored = store.shard("a").await.unwrap().unwrap();
    assert_eq!(store.password(&stored).await.unwrap().expose_secret(), "hunter2");
    assert!(!format!("{stored:?} {store:?}").contains("hunter2"));
    let change = ShardChange { password: Some("swordfish".into()), ..ShardChange::default() };
    assert!(store.change_shard("a", &change).await.unwrap());
    let changed = store.shard("a").await.unwrap().unwrap();
    assert_eq!(store.password(&changed).await.unwrap().expose_secret(), "swordfish");
    assert!(changed.version > stored.version);
    // Neither in what the database holds, nor in any file of it.
    let at_rest = meta.column("SELECT password FROM shard").await.concat();
    assert!(at_rest.starts_with("v1:") && !at_rest.contains("swordfish"), "{at_rest}");
    // Another shard's row cannot be given it.
    let mut moved = store.shard("a").await.unwrap().unwrap();
    moved.name = "b".into();
    assert!(matches!(store.password(&moved).await, Err(PasswordError::Sealed(_))));
}

pub(crate) async fn a_password_file_is_read_each_time_and_only_its_path_is_stored(meta: &Meta) {
    let store = meta.open().await;
    let file = meta.folder.path().join("password");
    let mut new = shard("a", Pool::Shared);
    new.password_file = Some(file.clone());
    store.add_shard(&new, &[], &Earlier::default()).await.unwrap().unwrap();
    let stored = store.shard("a").await.unwrap().unwrap();
    let missing = store.password(&stored).await.unwrap_err();
    assert!(missing.to_string().contains(file.to_str().unwrap()), "{missing}");
    for password in ["first", " second ä "] {
        fs::write(&file, format!("{password}\r\n")).unwrap();
        assert_eq!(store.password(&stored).await.unwrap().expose_secret(), password);
    }
    assert_eq!(meta.column("SELECT password FROM shard").await, [file.to_str().unwrap()]);
}

pub(crate) async fn another_key_is_refused_and_a_lost_one_is_not_made_anew(meta: &Meta) {
    let store = meta.open().await;
    add(&store, "a", Pool::Shared).await;
    store.close().await;
    let kept = fs::read(meta.key_file()).unwrap();
    fs::remove_file(meta.key_file()).unwrap();
    let lost = Store::open(&meta.url, Some(&meta.key_file())).await.unwrap_err();
    assert!(format!("{lost:#}").contains("--key-file"), "{lost:#}");
    assert!(!meta.key_file().exists());
    let other = meta.folder.path().join("other");
    sluice_directory::seal::Key::make_file(&other).unwrap();
    let wrong = Store::open(&meta.url, Some(&other)).await.unwrap_err();
    assert!(format!("{wrong:#}").contains("another key"), "{wrong:#}");
    // Lost for good: with a new key all goes on, once each password is set anew.
    drop(meta.hold("DELETE FROM seal").await);
    let anew = Store::open(&meta.url, Some(&other)).await.unwrap();
    let sealed = anew.shard("a").await.unwrap().unwrap();
    assert!(matches!(anew.password(&sealed).await, Err(PasswordError::Sealed(_))));
    let change = ShardChange { password: Some("again".into()), ..ShardChange::default() };
    assert!(anew.change_shard("a", &change).await.unwrap());
    let set = anew.shard("a").await.unwrap().unwrap();
    assert_eq!(anew.password(&set).await.unwrap().expose_secret(), "again");
    assert!(
        anew.change_shard("a", &ShardChange { password: Some("hunter2".into()), ..ShardChange::default() })
            .await
            .unwrap()
    );
    anew.close().await;
    fs::write(meta.key_file(), &kept).unwrap();
    let old = Store::open(&meta.url, Some(&meta.key_file())).await.unwrap_err();
    assert!(format!("{old:#}").contains("another key"), "{old:#}");
    fs::copy(&other, meta.key_file()).unwrap();
    let store = meta.open().await;
    let stored = store.shard("a").await.unwrap().unwrap();
    assert_eq!(store.password(&stored).await.unwrap().expose_secret(), "hunter2");
}

pub(crate) async fn directories_that_start_at_once_agree_on_one_key(meta: &Meta) {
    let starting = (0..4).map(|_| meta.open());
    let stores = futures::future::join_all(starting).await;
    add(&stores[0], "a", Pool::Shared).await;
    for store in &stores {
        let stored = store.shard("a").await.unwrap().unwrap();
        assert_eq!(store.password(&stored).await.unwrap().expose_secret(), "hunter2");
    }
}
