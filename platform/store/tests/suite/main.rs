//! One suite for every backend and wrapper: what the engine relies on, as the trait's documentation states it.
//!
//! `PROXYFS_TEST_S3_URL` (with AWS_* variables) and `PROXYFS_TEST_SWIFT_URL` (with ST_* or OS_*) add real stores; each test
//! works below a prefix of its own and leaves its objects there. `PROXYFS_TEST_CONDITIONAL_PUT` says how weak such an S3 store is,
//! `PROXYFS_TEST_CREATE_CONTAINERS` that buckets may be made beside the one in the URL.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails by panic and says what it skips")]

mod backends;
mod behaviours;

/// Runs every behaviour against every backend.
macro_rules! suite {
    ($($backend:ident),* => $behaviours:tt) => {
        $(mod $backend { suite!(@one $backend $behaviours); })*
    };
    (@one $backend:ident [$($behaviour:ident),* $(,)?]) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $behaviour() {
            let Some(backend) = crate::backends::$backend(stringify!($behaviour)).await else { return };
            crate::behaviours::$behaviour(&backend).await;
        })*
    };
}

suite!(mem, file, s3, faultless, flaky, opened, real_s3, real_swift => [
    objects_read_back_as_put,
    ranges_past_the_end_are_truncated,
    empty_objects_have_length_zero,
    large_chunked_bodies_read_back,
    missing_objects_are_not_found,
    a_fresh_put_may_be_repeated,
    listings_are_in_byte_order_over_all_pages,
    listings_compare_whole_paths,
    listings_begin_after_any_name,
    a_listing_may_begin_after_what_others_lie_below,
    deleted_objects_are_gone,
    create_new_treats_a_taken_name_as_promised,
    racing_creates_have_as_many_winners_as_promised,
    containers_are_apart,
    paths_that_no_store_could_keep_are_refused,
]);
