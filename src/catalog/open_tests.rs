use super::*;

fn schema(path: &Path) -> Vec<(String, String)> {
    let connection = Connection::open(path).unwrap();
    let mut statement =
        connection.prepare("SELECT name, ifnull(sql, '') FROM sqlite_schema ORDER BY name").unwrap();
    statement.query_map([], |r| Ok((r.get(0)?, r.get(1)?))).unwrap().map(|r| r.unwrap()).collect()
}

#[test]
fn an_upgraded_schema_equals_a_fresh_one() {
    let directory = tempfile::tempdir().unwrap();
    let (fresh, upgraded) = (directory.path().join("fresh"), directory.path().join("upgraded"));
    drop(Catalog::open(&fresh).unwrap());
    for until in 1..=MIGRATIONS.len() {
        let mut connection = Connection::open(&upgraded).unwrap();
        migrate(&mut connection, &upgraded, &MIGRATIONS[..until]).unwrap();
    }
    assert_eq!(schema(&fresh), schema(&upgraded));
}

#[test]
fn damage_is_recognised_and_moved_aside() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("catalog.db");
    std::fs::write(&path, vec![0x55; 100_000]).unwrap();
    assert!(matches!(Catalog::open(&path), Err(CatalogError::Corrupt { .. })));
    let aside = Catalog::move_aside(&path).unwrap();
    assert_eq!(std::fs::metadata(&aside).unwrap().len(), 100_000);
    std::fs::write(&path, vec![0x55; 10]).unwrap();
    assert_ne!(Catalog::move_aside(&path).unwrap(), aside);
    drop(Catalog::open(&path).unwrap());
    // Somebody else's database.
    let other = directory.path().join("other.db");
    Connection::open(&other).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    assert!(matches!(Catalog::open(&other), Err(CatalogError::Corrupt { .. })));
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    assert!(matches!(Catalog::open(&path), Err(CatalogError::TooNew { found: 99, .. })));
}
