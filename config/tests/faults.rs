//! Every fault of settings is told, each once.

use config::{ProgramSettings, StandaloneSettings};

fn faults(file: &str, env: &[(&str, &str)]) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("settings.yaml");
    std::fs::write(&path, file).expect("a file");
    let env = env.iter();
    let env = env.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let faults = StandaloneSettings::faults(Some(&path), env, ());
    let shown = path.display().to_string();
    let told = faults
        .iter()
        .map(|fault| fault.to_string().replace(&shown, "FILE"));
    told.collect()
}

#[test]
fn each_fault_is_told_and_none_hides_another() {
    for (case, file, env, expected) in [
        (
            "nothing is wrong",
            "installation: laptop\n",
            &[][..],
            &[][..],
        ),
        (
            "three at once",
            "resync_interval: soon\nlog:\n  fliter: info\nadmin: 7\n",
            &[("CFGW_INSTALLATION", "a laptop")][..],
            &[
                "setting `admin` (from the file FILE): found",
                "setting `installation` (from the environment variable CFGW_INSTALLATION): ",
                "unknown setting `log.fliter` (from the file FILE); did you mean `log.filter`? ",
                "setting `resync_interval` (from the file FILE): ",
            ][..],
        ),
        (
            "a misspelt variable",
            "",
            &[("CFGW_MANIFEST", "x")][..],
            &[
                "unknown setting `manifest` (from the environment variable CFGW_MANIFEST); did you mean `manifests`? ",
            ][..],
        ),
        (
            "no YAML, and a variable",
            "a: [",
            &[("CFGW_LOG__FORMAT", "xml")][..],
            &[
                "the settings file FILE is not a map",
                "setting `log.format` ",
            ][..],
        ),
    ] {
        let mut found = faults(file, env);
        found.sort();
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(found.len(), expected.len(), "{case}: {found:#?}");
        for expected in expected {
            let is_told = found.iter().any(|fault| fault.starts_with(expected));
            assert!(is_told, "{case}: {expected} in {found:#?}");
        }
    }
}
