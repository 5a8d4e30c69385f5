//! A signed answer, compared with its question. What is taken holds for some time, and for no other question.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use ocsp_frontend::response::check;
use ocsp_fuzz::{Scene, mutate, questions};
use ocsp_wire::SignRequest;

static SCENE: LazyLock<Scene> = LazyLock::new(|| Scene::new(false));
static QUESTIONS: LazyLock<Vec<SignRequest>> = LazyLock::new(questions);

fuzz_target!(|octets: &[u8]| {
    let mut taken = 0;
    for asked in &*QUESTIONS {
        let issuer = SCENE.issuers.at(asked.issuer).unwrap();
        match check(octets, asked, issuer) {
            Ok(times) => {
                assert!(times.this_update < times.next_update);
                assert!(times.contain(times.this_update));
                taken += 1;
            }
            Err("form" | "kind") => return, // of every question
            Err(what) => assert!(!what.is_empty()),
        }
    }
    assert!(taken <= 1);
});

fuzz_mutator!(|data: &mut [u8], size: usize, most: usize, seed: u32| {
    mutate::der(data, size, most, seed)
});
