"""One build of the domain with every change in it, each behind a number that is read from the environment.

cargo-mutants says which changes there are. Here they are put into a copy of the source, those that do not compile are
taken out, and the test program runs once for each of the others.
"""

import bisect, collections, concurrent.futures, json, os, pathlib, random, re, resource, shutil, subprocess, sys, threading
import tree_sitter, tree_sitter_rust

ROOT = pathlib.Path(__file__).resolve().parents[2]
WORK = ROOT / ".cache/mutants"
COPY = WORK / "copy"
PARSER = tree_sitter.Parser(tree_sitter.Language(tree_sitter_rust.language()))
GOAL, SEED = 97, 1
# A run that takes longer, or more memory, is one that does not end: the change was noticed.
SECONDS, CPU_SECONDS, BYTES = 60, 20, 4 << 30

# The switch. A run that records (MUTANT_REACHED is a file) writes which test came past which change.
SWITCH = """
static MUTANT: std::sync::LazyLock<u32> =
    std::sync::LazyLock::new(|| std::env::var("MUTANT").map_or(0, |n| n.parse().expect("a number")));
static REACHED: std::sync::LazyLock<Option<std::fs::File>> = std::sync::LazyLock::new(|| {
    Some(std::fs::File::create(std::env::var_os("MUTANT_REACHED")?).expect("a file"))
});
thread_local! {
    static SEEN: std::cell::RefCell<std::collections::HashSet<u32>> = Default::default();
}
pub(crate) fn mutant(number: u32) -> bool {
    if let Some(mut file) = REACHED.as_ref() {
        if SEEN.with_borrow_mut(|seen| seen.insert(number)) {
            let line = format!("{number} {}\\n", std::thread::current().name().unwrap_or_default());
            std::io::Write::write_all(&mut file, line.as_bytes()).expect("a file");
        }
    }
    *MUTANT == number
}
"""


class Mutant:
    """A change that cargo-mutants would make. Its number is its place in the whole list, from 1."""

    def __init__(self, number, entry):
        self.number, self.file, self.genre = number, entry["file"], entry["genre"]
        self.span, self.replacement, self.function = entry["span"], entry["replacement"], entry["function"] or {}
        self.place, self.compiles = entry["name"], True
        # The name without line and column, which every edit above it changes; `read` adds "#2" to the second of its kind.
        self.name = re.sub(r"^(\S+?):\d+:\d+: ", r"\1: ", entry["name"])


def read(listed):
    mutants, names = [], collections.Counter()
    for entry in listed:
        mutant = Mutant(len(mutants) + 1, entry)
        names[mutant.name] += 1
        if names[mutant.name] > 1:
            mutant.name += f" #{names[mutant.name]}"
        mutants.append(mutant)
    return mutants


class Source:
    """A file, and the changes that can be put into it."""

    EXPRESSIONS = {
        "BinaryOperator": {"binary_expression", "compound_assignment_expr"},
        "UnaryOperator": {"unary_expression"},
        "StructField": {"struct_expression"},
    }

    def __init__(self, path):
        self.text = path.read_bytes()
        self.root = PARSER.parse(self.text).root_node
        self.lines = self.text.split(b"\n")
        self.starts = [0]
        for line in self.lines:
            self.starts.append(self.starts[-1] + len(line) + 1)

    def offset(self, position):
        """cargo-mutants counts lines and characters from 1; here bytes are counted."""
        line = self.lines[position["line"] - 1].decode()
        return self.starts[position["line"] - 1] + len(line[: position["column"] - 1].encode())

    def find(self, mutant):
        """The node that a change is made in, or None where it cannot stand behind an `if`."""
        start, end = self.offset(mutant.span["start"]), self.offset(mutant.span["end"])
        mutant.range = start, end
        node = self.root.descendant_for_byte_range(start, end)
        ancestors = []
        while node:
            ancestors.append(node)
            node = node.parent
        if any(a.type in {"const_item", "static_item", "array_type", "token_tree"} or is_const_fn(a) for a in ancestors):
            return None
        if mutant.genre == "FnValue":
            # What is returned as `impl Trait` has one type; the replacement has another.
            if "impl " in (mutant.function.get("return_type") or ""):
                return None
            return next(a.child_by_field_name("body") for a in ancestors if a.type == "function_item")
        if mutant.genre == "MatchArm":
            arm = next(a for a in ancestors if a.type == "match_arm")
            # The others have to hold for every value without it: one of them is `_`, without a condition.
            others = [a.child_by_field_name("pattern") for a in arm.parent.children if a.type == "match_arm" and a != arm]
            mutant.compiles = any(pattern.text == b"_" for pattern in others)
            return arm.child_by_field_name("pattern") if mutant.compiles else None
        if mutant.genre == "MatchArmGuard":
            return next((a for a in ancestors if (a.start_byte, a.end_byte) == (start, end) and not a.type.startswith("let_")), None)
        node = next(a for a in ancestors if a.type in self.EXPRESSIONS[mutant.genre] or a.type == "let_chain")
        # Between a `let` and a condition there is no operator but this one.
        mutant.compiles = node.type != "let_chain"
        return node if mutant.compiles else None

    def changed(self, node, mutant):
        start, end = mutant.range
        return self.text[node.start_byte:start] + mutant.replacement.encode() + self.text[end:node.end_byte]

    def render(self, node, sites):
        parts, position = [], node.start_byte
        for child in node.children:
            parts += [self.text[position:child.start_byte], self.render(child, sites)]
            position = child.end_byte
        text = b"".join(parts) + self.text[position:node.end_byte]
        mutants = sites.get((node.start_byte, node.end_byte, node.type), [])
        if not mutants:
            return text
        if node.type == "block":
            given = b"".join(b"if %s { return %s; }" % (switch(m), marked(m, m.replacement.encode())) for m in mutants)
            return text[:1] + given + text[1:]
        if node.type == "match_pattern":
            pattern, condition = node.children[0], node.child_by_field_name("condition")
            guard = b" && ".join(b"!" + marked(m, switch(m)) for m in mutants)
            if condition:
                at = text.rindex(self.render(condition, sites))
                return text[:at] + guard + b" && (" + text[at:] + b")"
            return text + b" if " + guard
        given = b" else ".join(b"if %s { %s }" % (switch(m), marked(m, self.changed(node, m))) for m in mutants)
        return b"(%s else { %s })" % (given, text)


def is_const_fn(node):
    modifiers = [c for c in node.children if c.type == "function_modifiers"] if node.type == "function_item" else []
    return any(b"const" in m.text for m in modifiers)


def switch(mutant):
    return b"crate::mutant(%d)" % mutant.number


def marked(mutant, text):
    return b"/*<%d*/%s/*%d>*/" % (mutant.number, text, mutant.number)


class Build:
    """The copy, with the changes of `inside` in it."""

    def __init__(self, mutants):
        self.sources = {file: Source(ROOT / file) for file in {m.file for m in mutants}}
        self.nodes = {m: node for m in mutants if (node := self.sources[m.file].find(m))}
        self.inside = set(self.nodes)

    def write(self):
        """Writes the copy: a workspace of its own with the domain alone in it."""
        shutil.rmtree(COPY, ignore_errors=True)
        COPY.mkdir(parents=True)
        for folder in ("domain", "fuzz"):
            shutil.copytree(ROOT / folder, COPY / folder, ignore=shutil.ignore_patterns("target"))
        shutil.copy(ROOT / "Cargo.lock", COPY)
        workspace = (ROOT / "Cargo.toml").read_text().partition("[patch.crates-io]")
        workspace = re.sub(r"members = .*\nexclude = .*", 'members = ["domain"]', workspace[0]) + "".join(
            workspace[2][workspace[2].index("[profile.dev]"):])
        # Optimised a little, as the program runs some thousand times.
        (COPY / "Cargo.toml").write_text(workspace.replace("[profile.dev]\n", "[profile.dev]\nopt-level = 1\n"))
        manifest = COPY / "domain/Cargo.toml"
        manifest.write_text(manifest.read_text().replace("[lints]\nworkspace = true\n", ""))
        for file, source in self.sources.items():
            sites = collections.defaultdict(list)
            for mutant in sorted(self.inside, key=lambda m: m.number):
                if mutant.file == file:
                    node = self.nodes[mutant]
                    if mutant.genre == "MatchArm":
                        node = node if node.type == "match_pattern" else node.parent
                    sites[node.start_byte, node.end_byte, node.type].append(mutant)
            # The root begins at the first token, after what the file begins with.
            (COPY / file).write_bytes(source.text[: source.root.start_byte] + source.render(source.root, sites))
        root = COPY / "domain/src/lib.rs"
        text = root.read_text().replace("\npub mod attachment;", "\n#![allow(warnings, unconditional_panic, arithmetic_overflow)]\npub mod attachment;", 1)
        root.write_text(text + SWITCH)

    def compile(self):
        """The test program; changes that do not compile are taken out until it does."""
        numbers = {m.number: m for m in self.inside}
        for command in (["check", "--profile", "test"], ["test", "--no-run"]):
            while True:
                self.write()
                messages = self.cargo(*command)
                errors = [e for m in messages if (e := m.get("message", {})).get("level") == "error" and e["spans"]]
                if not errors:
                    break
                wrong = set()
                for error in errors:
                    found = blamed(error)
                    if not found:
                        sys.exit("not caused by one change:\n" + error["rendered"])
                    wrong |= found
                print(f"{len(wrong)} changes do not compile", flush=True)
                self.inside -= {numbers[n] for n in wrong}
        return next(m["executable"] for m in messages if m.get("executable"))

    def cargo(self, *command):
        target = os.environ.get("CARGO_TARGET_DIR", ROOT / "target")
        done = subprocess.run(
            ["cargo", *command, "--lib", "--features=serde", "--quiet", "--message-format=json", "--manifest-path", COPY / "Cargo.toml"],
            env=os.environ | {"CARGO_TARGET_DIR": str(target)}, stdout=subprocess.PIPE, text=True)
        messages = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        if done.returncode and not any(m.get("message", {}).get("level") == "error" for m in messages):
            sys.exit(f"cargo {' '.join(command)} failed")
        return messages


def blamed(message):
    """Numbers of the changes that an error of the compiler is in, or else those that are in it."""
    spans = sorted(message["spans"], key=lambda span: not span["is_primary"])
    spans += [span for child in message["children"] for span in child["spans"]]
    for within in (True, False):
        for span in spans:
            # Of a macro, where it is written in the file.
            while span.get("expansion"):
                span = span["expansion"]["span"]
            path = COPY / span["file_name"]
            if not path.is_file():
                continue
            text = path.read_bytes()
            found = set()
            for match in re.finditer(rb"/\*<(\d+)\*/", text):
                start, end = match.start(), text.index(b"/*%s>*/" % match[1])
                if within and start <= span["byte_start"] and span["byte_end"] <= end + len(match[0]):
                    found.add(int(match[1]))
                if not within and span["byte_start"] <= start and end <= span["byte_end"]:
                    found.add(int(match[1]))
            if found:
                return found
    return set()


class Program:
    """The test program of the copy."""

    def __init__(self, path):
        self.path = path
        recorded = WORK / "reached"
        if self.fails(0, [], {"MUTANT_REACHED": str(recorded)}) or self.fails(0, []):
            sys.exit("the tests fail without a change")
        names = subprocess.run([path, "--list", "--format=terse"], stdout=subprocess.PIPE, text=True, check=True).stdout
        tests = set(re.findall(r"^(.*): test$", names, re.M))
        self.reached, self.seen = collections.defaultdict(list), set()
        for line in recorded.read_text().splitlines():
            number, _, test = line.partition(" ")
            self.seen.add(int(number))
            if test in tests:
                self.reached[int(number)].append(test)

    def fails(self, number, tests, more={}):
        """Whether one of the tests, all if none is given, fails with this change. The first that fails ends the run."""
        quiet = {"PROPTEST_MAX_SHRINK_ITERS": "0", "PROPTEST_DISABLE_FAILURE_PERSISTENCE": "true", "PROPTEST_RNG_SEED": "1"}
        run = subprocess.Popen(
            ["nice", "-n", "15", self.path, "--test-threads=2", *(["--exact", *tests] if tests else [])],
            env=os.environ | quiet | more | {"MUTANT": str(number)}, cwd=COPY / "domain", text=True,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, preexec_fn=limit)
        timer = threading.Timer(SECONDS, run.kill)
        timer.start()
        try:
            if any(line.endswith("... FAILED\n") for line in run.stdout):
                run.kill()
            return run.wait() != 0
        finally:
            timer.cancel()

    def notices(self, mutant):
        """The tests that came past the change run first, and where none of these fails, all. No test can notice a place
        that none came past."""
        tests = self.reached[mutant.number]
        return mutant.number in self.seen and (
            bool(tests and self.fails(mutant.number, tests)) or self.fails(mutant.number, []))


def limit():
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def equivalents(mutants):
    """Names of changes that no test can notice, from equivalent.txt. Each must be one that is still there."""
    lines = (ROOT / "tests/mutants/equivalent.txt").read_text().splitlines()
    names = [line for line in lines if line and not line.startswith(("#", " "))]
    stale = set(names) - {m.name for m in mutants}
    if stale:
        sys.exit("equivalent.txt: no such change: " + "; ".join(sorted(stale)))
    return set(names)


def main(listed, wanted):
    mutants = read(json.loads(pathlib.Path(listed).read_text()))
    equivalent = equivalents(mutants)
    chosen = mutants if wanted == "all" else random.Random(SEED).sample(mutants, min(int(wanted), len(mutants)))
    build = Build(chosen)
    possible = set(build.inside)
    program = Program(build.compile())
    tried = sorted(build.inside, key=lambda m: m.number)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        verdicts = dict(zip(tried, pool.map(program.notices, tried)))
    missed = [m for m in tried if not verdicts[m]]
    for mutant in missed:
        if mutant.name not in equivalent:
            print("missed:", mutant.place, *re.findall(r"#\d+$", mutant.name))
    noticed = [m.name for m in tried if verdicts[m] and m.name in equivalent]
    outside = [m for m in chosen if m not in possible and m.compiles]
    (WORK / "outside").write_text("".join(m.place + "\n" for m in outside))
    (WORK / "verdicts.json").write_text(json.dumps({m.place: verdicts.get(m) for m in chosen}, indent=1))
    share = 100 * (len(tried) - len(missed)) / max(1, len(tried))
    known = sum(m.name in equivalent for m in missed)
    print(f"{len(tried) - len(missed)} of {len(tried)} viable changes of the domain noticed: {share:.1f} % (at least {GOAL} %)")
    print(f"of {len(missed)} missed, {known} make no difference (equivalent.txt)")
    print(f"{len(chosen) - len(outside) - len(tried)} do not compile; {len(outside)} are only for cargo-mutants (MUTANTS=all)")
    if noticed:
        sys.exit("equivalent.txt: noticed by a test: " + "; ".join(noticed))
    sys.exit(share < GOAL)


if __name__ == "__main__":
    main(*sys.argv[1:])
