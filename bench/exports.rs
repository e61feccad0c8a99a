//! How long it takes to write 100 000 entries in each format.

use std::time::Duration;

use allowlist_gen::export::{self, Error, Format};
use criterion::{Criterion, SamplingMode, criterion_group, criterion_main};
use ringfence_config::Issue;

#[path = "../tests/exports/large.rs"]
mod large;
#[allow(dead_code, reason = "the tests use more of it")]
#[path = "../tests/exports/lists.rs"]
mod lists;

fn exports(criterion: &mut Criterion) {
    let regions = large::regions();
    let of_registries = REGISTRIES * (1 + regions.len());
    let list = large::list(REGISTRIES, &regions, ENTRIES - of_registries);
    assert_eq!(list.entries().len(), ENTRIES);
    let registries = large::list(REGISTRIES, &regions, 0);

    let mut group = criterion.benchmark_group("exports");
    group
        .sample_size(10)
        .sampling_mode(SamplingMode::Flat)
        .warm_up_time(Duration::from_millis(1))
        .measurement_time(Duration::from_secs(1));
    for &format in Format::ALL {
        let options = lists::options(format);
        let render = |list| export::render(format, list, Issue::default(), &options);
        // Some targets are about registries alone.
        let list = match render(&list) {
            Err(Error::Unrepresentable { .. }) => &registries,
            _ => &list,
        };
        match render(list) {
            Ok(_) => {
                let name = format!("{}/{}", format.name(), list.entries().len());
                group.bench_function(name, |bencher| bencher.iter_with_large_drop(|| render(list)));
            }
            Err(error) => say(&format!("exports/{}: not timed: {error}", format.name())),
        }
    }
    group.finish();
}

#[expect(clippy::print_stdout, reason = "beside what the others took")]
fn say(line: &str) {
    println!("{line}");
}

const ENTRIES: usize = 100_000;
const REGISTRIES: usize = 500;

criterion_group!(benches, exports);
criterion_main!(benches);
