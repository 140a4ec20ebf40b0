use super::*;

#[tokio::test]
async fn a_panic_ends_what_panicked_and_nothing_else() {
    let fine = guarded(async { 7 }).await;
    assert_eq!(fine.expect("it ends"), 7);
    let late = guarded(async {
        tokio::task::yield_now().await;
        panic!("as a provider might")
    });
    let ended: Result<(), Panicked> = late.await;
    assert!(ended.is_err());
    assert!(guard(|| -> u32 { panic!("as a verdict might") }).is_err());
    assert_eq!(guard(|| 7).expect("it returns"), 7);
}
