//! The kernels of this backend: their text, their entries, and how a launch is divided.
//!
//! A kernel is a file of `kernels/`, named as its op; a file is compiled whole, with everything
//! that it may include. kernels/README.md says what each entry wants; this is its twin.

use super::{compiler::Source, driver::launch::Extent};

/// A text of `kernels/`.
macro_rules! text {
    ($name:literal) => {
        include_str!(concat!("../../../kernels/", $name))
    };
}

/// What every file may include, by name.
const HEADERS: &[(&str, &str)] = &[
    ("activation.cu", text!("activation.cu")),
    ("score.cu", text!("score.cu")),
    ("shared/candidates.cuh", text!("shared/candidates.cuh")),
    ("shared/gallery.cuh", text!("shared/gallery.cuh")),
    ("shared/job.cuh", text!("shared/job.cuh")),
    ("shared/machine.cuh", text!("shared/machine.cuh")),
    ("shared/matrix.cuh", text!("shared/matrix.cuh")),
    ("shared/octet.cuh", text!("shared/octet.cuh")),
    ("shared/picture.cuh", text!("shared/picture.cuh")),
    ("shared/product.cuh", text!("shared/product.cuh")),
    ("shared/scan.cuh", text!("shared/scan.cuh")),
];

/// Options of every compilation beside the target.
pub(super) const OPTIONS: &[&str] = &["--std=c++17"];

/// Threads of a block that computes eight channels per thread.
const THREADS: u32 = 256;
/// Threads of a block of a matrix product.
const PRODUCT_THREADS: u32 = 128;

/// One entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kernel {
    Add,
    Affine,
    Concat,
    Conv2d(Block),
    Conv2dSum,
    Dense,
    DenseSum,
    Depthwise,
    Fit,
    GlobalAverage,
    MaxPool,
    /// Some probes a pass, on tensor cores.
    Matrix(Many),
    Merge,
    /// f32 to half precision.
    Narrow,
    Scale,
    /// Few probes a pass, bound by memory.
    Scan(Few),
    Softmax,
    Upsample,
    Warp,
    /// Half precision to f32.
    Widen,
}

/// Positions by channels that a block of a product computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Block {
    /// 128 × 128.
    Large,
    /// 128 × 64.
    Tall,
    /// 64 × 64.
    Small,
}

impl Block {
    pub(super) const ALL: [Self; 3] = [Self::Large, Self::Tall, Self::Small];

    /// Positions and channels.
    pub(super) fn extent(self) -> [usize; 2] {
        match self {
            Self::Large => [128, 128],
            Self::Tall => [128, 64],
            Self::Small => [64, 64],
        }
    }

    /// Bytes of shared memory for each stage.
    fn stage_bytes(self) -> u32 {
        match self {
            Self::Large => 16_384,
            Self::Tall => 12_288,
            Self::Small => 8_192,
        }
    }
}

/// Probes a pass of the scan that is bound by memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Few {
    One,
    Two,
    Four,
    Eight,
}

impl Few {
    pub(super) const ALL: [Self; 4] = [Self::One, Self::Two, Self::Four, Self::Eight];

    pub(super) fn probes(self) -> usize {
        match self {
            Self::One => 1,
            Self::Two => 2,
            Self::Four => 4,
            Self::Eight => 8,
        }
    }
}

/// Probes a pass of the scan on tensor cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Many {
    ThirtyTwo,
    SixtyFour,
    Hundred28,
}

impl Many {
    pub(super) const ALL: [Self; 3] = [Self::ThirtyTwo, Self::SixtyFour, Self::Hundred28];

    pub(super) fn probes(self) -> usize {
        match self {
            Self::ThirtyTwo => 32,
            Self::SixtyFour => 64,
            Self::Hundred28 => 128,
        }
    }
}

/// A file that is compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct File {
    /// Its name below `kernels/`.
    pub(super) name: &'static str,
    text: &'static str,
}

macro_rules! file {
    ($name:literal) => {
        File { name: $name, text: text!($name) }
    };
}

impl File {
    /// What the compiler is given.
    pub(super) fn source(self) -> Source {
        Source { name: self.name, text: self.text.to_owned(), headers: HEADERS.to_vec() }
    }
}

impl Kernel {
    /// Every entry.
    pub(super) fn all() -> Vec<Self> {
        let mut all = vec![Self::Add, Self::Affine, Self::Concat, Self::Conv2dSum, Self::Dense];
        all.extend(Block::ALL.map(Self::Conv2d));
        all.extend([Self::DenseSum, Self::Depthwise, Self::Fit, Self::GlobalAverage]);
        all.extend(Many::ALL.map(Self::Matrix));
        all.extend([Self::MaxPool, Self::Merge, Self::Narrow, Self::Scale]);
        all.extend(Few::ALL.map(Self::Scan));
        all.extend([Self::Softmax, Self::Upsample, Self::Warp, Self::Widen]);
        all
    }

    /// Those of the search.
    pub(super) fn of_search() -> impl Iterator<Item = Self> {
        let all = Self::all().into_iter();
        all.filter(|kernel| matches!(kernel, Self::Matrix(_) | Self::Merge | Self::Scan(_)))
    }

    /// The file that it stands in.
    pub(super) fn file(self) -> File {
        match self {
            Self::Add => file!("add.cu"),
            Self::Affine => file!("affine.cu"),
            Self::Concat => file!("concat.cu"),
            Self::Conv2d(_) | Self::Conv2dSum => file!("conv2d.cu"),
            Self::Dense | Self::DenseSum => file!("dense.cu"),
            Self::Depthwise => file!("depthwise.cu"),
            Self::Fit => file!("fit.cu"),
            Self::GlobalAverage => file!("global_average.cu"),
            Self::MaxPool => file!("max_pool.cu"),
            Self::Matrix(_) | Self::Merge | Self::Scan(_) => file!("search.cu"),
            Self::Narrow | Self::Widen => file!("shared/convert.cu"),
            Self::Scale => file!("scale.cu"),
            Self::Softmax => file!("softmax.cu"),
            Self::Upsample => file!("upsample.cu"),
            Self::Warp => file!("warp.cu"),
        }
    }

    /// Its name in the file.
    pub(super) fn entry(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Affine => "affine",
            Self::Concat => "concat",
            Self::Conv2d(Block::Large) => "conv2d_128x128",
            Self::Conv2d(Block::Tall) => "conv2d_128x64",
            Self::Conv2d(Block::Small) => "conv2d_64x64",
            Self::Conv2dSum => "conv2d_sum",
            Self::Dense => "dense_64x64",
            Self::DenseSum => "dense_sum",
            Self::Depthwise => "depthwise",
            Self::Fit => "fit",
            Self::GlobalAverage => "global_average",
            Self::MaxPool => "max_pool",
            Self::Matrix(Many::ThirtyTwo) => "search_matrix_32",
            Self::Matrix(Many::SixtyFour) => "search_matrix_64",
            Self::Matrix(Many::Hundred28) => "search_matrix_128",
            Self::Merge => "search_merge",
            Self::Narrow => "narrow",
            Self::Scale => "scale",
            Self::Scan(Few::One) => "search_scan_1",
            Self::Scan(Few::Two) => "search_scan_2",
            Self::Scan(Few::Four) => "search_scan_4",
            Self::Scan(Few::Eight) => "search_scan_8",
            Self::Softmax => "softmax",
            Self::Upsample => "upsample",
            Self::Warp => "warp",
            Self::Widen => "widen",
        }
    }
}

/// The work of a device that a launch is divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Machine {
    pub(super) multiprocessors: usize,
    /// Bytes of shared memory that a block may ask for.
    pub(super) shared_bytes_max: u32,
    /// Steps of a product that are under way at once.
    pub(super) stages: u32,
}

impl Machine {
    /// Bytes of shared memory of a block of a product.
    pub(super) fn product_bytes(self, block: Block) -> u32 {
        block.stage_bytes() * self.stages
    }
}

fn blocks(threads: usize, each: u32) -> u32 {
    u32::try_from(threads.div_ceil(each as usize)).expect("counts were bounded when it was planned")
}

/// One thread for each of `octets` runs of eight channels.
pub(super) fn elementwise(octets: usize) -> Extent {
    Extent { blocks: [blocks(octets, THREADS), 1, 1], threads: [THREADS, 1], shared_bytes: 0 }
}

/// A warp for each of `octets` runs of eight channels.
pub(super) fn by_warp(octets: usize) -> Extent {
    Extent { blocks: [blocks(octets, THREADS / 32), 1, 1], ..elementwise(1) }
}

/// A product of `rows` positions by `channels`, its depth in `splits` parts.
pub(super) fn product(
    machine: Machine,
    block: Block,
    (rows, channels): (usize, usize),
    splits: u32,
) -> Extent {
    let [tall, wide] = block.extent();
    let tiles = rows.div_ceil(tall) * channels.div_ceil(wide);
    Extent {
        blocks: [blocks(tiles, 1), 1, splits],
        threads: [PRODUCT_THREADS, 1],
        shared_bytes: machine.product_bytes(block),
    }
}

/// A picture that becomes an input of `w` by `h` pixels.
pub(super) fn picture(w: usize, h: usize) -> Extent {
    Extent { blocks: [blocks(w, 32), blocks(h, 8), 1], threads: [32, 8], shared_bytes: 0 }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    /// Every text below `kernels/`, by its name there.
    fn texts() -> Vec<(String, String)> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels");
        let mut texts = Vec::new();
        for below in ["", "shared/"] {
            for entry in fs::read_dir(folder.join(below)).expect("it is there").flatten() {
                let name = entry.file_name().into_string().expect("a plain name");
                if name.ends_with(".cu") || name.ends_with(".cuh") {
                    let text = fs::read_to_string(entry.path()).expect("it is read");
                    texts.push((format!("{below}{name}"), text));
                }
            }
        }
        texts
    }

    /// Names of the entries of a text, each with the struct that it takes.
    fn entries(text: &str) -> Vec<(String, String)> {
        let after = text.split("extern \"C\" __global__").skip(1);
        let heads = after.map(|rest| rest.split('{').next().unwrap_or_default());
        heads
            .map(|head| {
                let (name, told) = head.rsplit_once('(').expect("a list of parameters");
                let name = name.rsplit([' ', ')']).next().expect("a name");
                let told = told.trim().trim_end_matches(')').trim_start_matches("const ");
                let told = told.split(' ').next().expect("a type");
                (name.to_owned(), told.to_owned())
            })
            .collect()
    }

    #[test]
    fn every_entry_is_known_and_takes_the_struct_that_it_is_told() {
        let mut held = BTreeSet::new();
        for (file, text) in texts() {
            for (name, told) in entries(&text) {
                held.insert((file.clone(), name, told));
            }
        }
        let told = |kernel: Kernel| match kernel {
            Kernel::Fit | Kernel::Warp => "Picture",
            Kernel::Matrix(_) | Kernel::Merge | Kernel::Scan(_) => "Search",
            _ => "Job",
        };
        let known = Kernel::all().into_iter().map(|kernel| {
            (kernel.file().name.to_owned(), kernel.entry().to_owned(), told(kernel).to_owned())
        });
        assert_eq!(held, known.collect());
    }

    #[test]
    fn what_a_kernel_includes_is_handed_over_with_it() {
        let given: BTreeSet<&str> = HEADERS.iter().map(|(name, _)| *name).collect();
        let mut wanted = BTreeSet::new();
        for (file, text) in texts() {
            for line in text.lines().filter(|line| line.starts_with("#include")) {
                let name = line.split('"').nth(1);
                let name = name.unwrap_or_else(|| panic!("{file}: {line}: no header of CUDA's"));
                assert!(given.contains(name), "{file}: {line}: it is not among HEADERS");
                wanted.insert(name.to_owned());
            }
        }
        let unused: Vec<_> = given.iter().filter(|name| !wanted.contains(**name)).collect();
        // The meaning of a score stands there for the reader; the scans have their own products.
        assert!(unused.iter().all(|name| **name == "score.cu"), "{unused:?}");
        let source = Kernel::Merge.file().source();
        assert_eq!((source.name, source.headers.len()), ("search.cu", HEADERS.len()));
    }

    #[test]
    fn launches_are_divided_as_the_kernels_say() {
        let machine = Machine { multiprocessors: 10, shared_bytes_max: 1 << 16, stages: 4 };
        let extent = product(machine, Block::Large, (257, 136), 3);
        assert_eq!((extent.blocks, extent.threads), ([6, 1, 3], [128, 1]));
        assert_eq!(extent.shared_bytes, 65_536);
        assert_eq!(elementwise(257).blocks, [2, 1, 1]);
        assert_eq!(by_warp(9).blocks, [2, 1, 1]);
        assert_eq!((picture(33, 9).blocks, picture(33, 9).threads), ([2, 2, 1], [32, 8]));
        let told = text!("README.md");
        for block in Block::ALL {
            let [tall, wide] = block.extent();
            let (name, bytes) = (Kernel::Conv2d(block).entry(), block.stage_bytes());
            let row = told.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
            let row = row.unwrap_or_else(|| panic!("kernels/README.md has no row of {name}"));
            let thousands = format!("{},{:03} · stages", bytes / 1000, bytes % 1000);
            assert!(row.contains(&thousands), "{row}");
            assert!(row.contains(&format!("⌈rows/{tall}⌉")), "{row}");
            assert!(row.contains(&format!("/{wide}⌉ on x")), "{row}");
        }
    }
}
