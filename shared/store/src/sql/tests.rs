use super::{Sql, signed, storable};

#[test]
fn parameters_are_numbered_in_their_order() {
    let sql = Sql::new("select 1 where a = ")
        .bind("x")
        .push(" and b")
        .among([1_i64, 2])
        .push(" and c")
        .among(std::iter::empty::<&str>());
    assert_eq!(sql.text, "select 1 where a = $1 and b in ($2, $3) and c in (null)");
    assert_eq!(Sql::new("$1, ").with(1_i64).bind(2_i64).text, "$1, $2");
}

#[test]
fn what_a_database_cannot_hold_is_replaced() {
    assert_eq!(storable("a\0b"), "a\u{fffd}b");
    assert_eq!(storable("ab"), "ab");
    assert_eq!(signed(u64::MAX), i64::MAX);
}
