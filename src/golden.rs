//! What every build on every machine must find: published digests, and small networks on made-up images that take no data
//! to train. They change only together with [`BITS_VERSION`](crate::BITS_VERSION).

use crate::config::Config;
use crate::data::Images;
use crate::digest::{Digest, Digests};
use crate::error::Error;

/// A digest that stands in this file.
const fn digest(text: &str) -> Digest {
    match Digest::parse(text) {
        Some(digest) => digest,
        None => panic!("not a digest"),
    }
}

/// SHA-256 of MNIST's decompressed `train-images-idx3-ubyte`.
pub const MNIST: Digest = digest("sha256:ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db");

/// SHA-256 of that digest and that of `train-labels-idx1-ubyte`: see [`Dataset::labelled`](crate::Dataset::labelled).
pub const MNIST_LABELLED: Digest =
    digest("sha256:9e2f180fa3ebbf2824476e5bba8976bf2cdbe997be63426abc250988b9b4e9c6");

/// Steps and state digests of the default settings, seed 42, on MNIST.
pub const DEFAULT_RUN: [(u64, Digest); 6] = [
    (1, digest("sha256:f09d17bb55a9076886f7e9b561ae03a5f330c9388c70d832fff9d6655ab308af")),
    (10, digest("sha256:c9a324c9dedb7bfd73d545f642671d3a7457498ebf04c0c3f390650d09c24f8a")),
    (100, digest("sha256:3c599ea88b57623bec54b34a4f2a6e2bde97fa49cacc71a6a1656349ac417883")),
    (1_000, digest("sha256:8b64b24be2bdb793a3fd08143ce5d8838db2f3dbc185f57bb0b03d340e5d68e1")),
    (10_000, digest("sha256:4a9ed5d02d4ab1ddff12fabac0465a0529b6aa9ea1b0fee3cae74efb713bace6")),
    (70_000, digest("sha256:0f5e1ef103386c71580c720dade0ebe7ef264f40b6e8b2e87448a9dddd07abed")),
];

/// Steps of a run, and the digests of its state and of its average after each.
pub type Averaged = [(u64, Digest, Digest); 3];

/// Those of the other named settings, each called as in [`PRESETS`](crate::config::PRESETS), seed 42, on MNIST.
pub const PRESET_RUNS: [(&str, Averaged); 3] = [
    (
        "labelled",
        [
            (
                1,
                digest("sha256:0ffa35004258d2c8339d5ff35873f5da3aa5d0a218ce79fd81d1954f080ea580"),
                digest("sha256:4e5e197301ae376bdc917537e7ed5273181af2443928b12a31ec4c4382c468fd"),
            ),
            (
                1_000,
                digest("sha256:e39a9ccfc640d91e2dd164c7762234589b58464e3b750b31986389865884620a"),
                digest("sha256:84ebf4e0fa1fd286fbd09027078ef9a8064cfbe2ec6d3127e8b06f40c511f475"),
            ),
            (
                70_000,
                digest("sha256:b172aa353fd9c90ef96e3818b670f65bd7b23fd58f09b36202e79ddcde80ab1b"),
                digest("sha256:c8b55775e8560d53fb79cbafba433ad0dc3925a8387c9b0dd17949548386c170"),
            ),
        ],
    ),
    (
        "large",
        [
            (
                1,
                digest("sha256:ad6631830db9bc8b26de8bea6ba0ea72e69d95d59a11b3f41cf1f17869fa6b04"),
                digest("sha256:160289d861a11c1d8c5a1f643a4e9c93418b9d678938ee24865bc21f1b1fe84f"),
            ),
            (
                1_000,
                digest("sha256:6fc03e3be8808ef31e27abaeba4f4f5431925dbe5dd12445e0fbeb379e186d2a"),
                digest("sha256:7f094b76a241124ff59b1951b062f61c9e901d12edbffce984cd47cdd85f9461"),
            ),
            (
                70_000,
                digest("sha256:de8c7805da1be2c985f6a1354c6ec164c9a93743861d8b7b661256cdfe3ab0ea"),
                digest("sha256:53478a2dccfd8c9f150ddd21f0ab656eec1619f057a2ee3ec3422bbeb87f4084"),
            ),
        ],
    ),
    (
        "packed",
        [
            (
                1,
                digest("sha256:90d0558a23f62cf5ec768e80a79f60690c91b6d73cee510a0f7183bb61c5e1c8"),
                digest("sha256:253e88b10ba4426adb05a2fc738e32e6e4e7d574b69d2862180d13ecefe5941f"),
            ),
            (
                1_000,
                digest("sha256:c9a273ea0541a586c85b3abab0ef1cecaffe31fc145e84ee3fd00709d3a8f676"),
                digest("sha256:773e943d3a5500b3b02e7df101f1b3761b7802801112266cd39f6f66476c8d5c"),
            ),
            (
                70_000,
                digest("sha256:bc36b901b0f3ade57651ba8213bd20461723ee029950a668cda2e9e794324619"),
                digest("sha256:499e2899833cfc4da31ce3b25bbf4f7b19f564b0cc92cfca32b8efb4736af998"),
            ),
        ],
    ),
];

/// The digest of MNIST, with its labels or without.
pub const fn mnist(labelled: bool) -> Digest {
    if labelled { MNIST_LABELLED } else { MNIST }
}

/// Steps and published digests of the run on MNIST that has these settings; none if there is no such. No state depends on its
/// average: what has another one than is published, or none, has the same states.
pub fn run(config: &Config) -> impl Iterator<Item = (u64, Digests)> {
    let same = |of: &Config| Config { average: of.average, ..config.clone() } == *of;
    let default = DEFAULT_RUN.iter().filter(move |_| same(&Config::default()));
    let default = default.map(|&(step, state)| (step, Digests { state, average: None }));
    let presets = PRESET_RUNS.iter().filter_map(move |(name, digests)| {
        let preset = Config::preset(name).ok().filter(|of| same(of))?;
        let averaged = preset.average == config.average;
        Some(digests.iter().map(move |&(step, state, average)| {
            (step, Digests { state, average: averaged.then_some(average) })
        }))
    });
    default.chain(presets.flatten())
}

/// The published digests of the run on MNIST that has these settings after `step`.
pub fn published(config: &Config, step: u64) -> Option<Digests> {
    run(config).find(|(at, _)| *at == step).map(|(_, digests)| digests)
}

/// A run on made-up images ([`pixel`]), and the digest of its state after some steps.
#[derive(Clone, Debug)]
pub struct Case {
    /// What it is, in a word or two.
    pub name: &'static str,
    /// Its settings.
    pub config: Config,
    /// Number of images.
    pub images: usize,
    /// Pixels per column.
    pub height: usize,
    /// Pixels per row.
    pub width: usize,
    /// Classes of the images; 0: they are not labelled.
    pub classes: usize,
    /// Steps, and the digest after each.
    pub digests: &'static [(u64, Digest)],
    /// The digest of the average after the last of these, if there is one.
    pub average: Option<Digest>,
}

impl Case {
    /// Bytes of its pixels, and of its labels.
    pub const fn bytes(&self) -> [usize; 2] {
        [self.images * self.height * self.width, self.images]
    }

    /// Its images, in memory of [`Case::bytes`].
    ///
    /// # Errors
    /// [`Error::Input`] if the memory is none such.
    pub fn images<'a>(&self, pixels: &'a mut [u8], labels: &'a mut [u8]) -> Result<Images<'a>, Error> {
        pixels.iter_mut().enumerate().for_each(|(i, byte)| *byte = pixel(i));
        let images = Images::new(pixels, self.height, self.width)?;
        if self.classes == 0 {
            return Ok(images);
        }
        labels.iter_mut().enumerate().for_each(|(i, byte)| *byte = label(i, self.classes));
        images.labelled(labels)
    }
}

/// Byte i of the pixels of made-up images, image by image, row by row: 0 where ⌊i·2654435761 / 2⁷⌋ mod 8 < 6 (three
/// quarters of them are black, like digits), else 31·i mod 256; i·2654435761 is taken mod 2⁶⁴.
pub const fn pixel(i: usize) -> u8 {
    let i = i as u64;
    if (i.wrapping_mul(2_654_435_761) >> 7) & 7 < 6 { 0 } else { (i * 31 % 256) as u8 }
}

/// The label of made-up image i: (3i + ⌊i/2⌋) mod the number of classes.
pub const fn label(i: usize, classes: usize) -> u8 {
    ((3 * i + i / 2) % classes) as u8
}

const SMALL: Config = Config {
    latent_size: 5,
    generator_hidden: 33,
    discriminator_hidden: 33,
    batch_size: 37,
    learning_rate: 2e-4,
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 1e-8,
    labels: false,
    pack: 1,
    average: 0.0,
    validation: 10,
    seed: 7,
};

const FAST: Config = Config {
    batch_size: 24,
    latent_size: 9,
    generator_hidden: 50,
    discriminator_hidden: 70,
    learning_rate: 5e-2,
    beta1: 0.5,
    ..SMALL
};

/// Small networks of odd sizes: quick on every backend, emulated ones too.
///
/// | | odd net | batch of one | fast learner |
/// |---|---|---|---|
/// | images, of height × width | 150, 9 × 7 | 20, 9 × 7 | 60, 11 × 13 |
/// | held out | 10 | 0 | 10 |
/// | latent size, hidden units of generator and discriminator | 5, 33, 33 | 5, 33, 17 | 9, 50, 70 |
/// | batch size | 37 | 1 | 24 |
/// | learning rate, β1 | 0.0002, 0.9 | 0.0002, 0.9 | 0.05, 0.5 |
/// | seed | 7 | 42 | 7 |
///
/// The other three are made of these: the labelled net is the odd net with labels of 3 classes and an average of 0.99; the packed
/// net is the odd net with a batch of 36, two of which are judged at once, and an average of 0.9; labels in packs is the fast learner
/// with labels of 5 classes, of which four are judged at once, and an average of 0.999. Label i is (3i + ⌊i/2⌋) mod the number of
/// classes ([`label`]).
///
/// β2 is 0.999 and ε 1e-8, as by default. The fast learner ends with a saturated discriminator and with 83% of its generated
/// pixels black. Digests after 100 steps: `sha256:5711b9e60e50f0c6da10d3b2fb39d2aaceaad80ac7aca7d69a223c1e4f290e87` of
/// the odd net. After 300 steps: `sha256:6af5c91cb20349f732cf1f7bb8f6809fbeaea3d1464e3596831c9f5751b9f825` of the odd
/// net, `sha256:182e8724403efa30cbf6ed37495c799e9e0c7253fdfb3181c2b79d60a319a0db` of the batch of one,
/// `sha256:7ddaedb3d2a12f1277e34b20161028e97b903963d8168834b56fe51cf41877f1` of the fast learner; and with their averages
/// `sha256:8fd4de6ebcd12b10e81985c9a21835a63aace03e531a36c1d22596363bd86655`,
/// `sha256:9fade0468f05db8788ac2d0e26eb2d0d68bb37cbaf668aff9efbfb568772ba43` of the labelled net,
/// `sha256:71c724581b391d1b614ee3cf3d4a4f93acb89c6cbd8f5eca4b244d1fd1a6c5ba`,
/// `sha256:1425b33efb27213aed119f52d33b9ef7c09fdbeda33a4e328131f3f0584afcf7` of the packed net,
/// `sha256:acb33a410f8dcdcef5d690131483294f3fa2d373b56bbe9b4e26dd2fb31507ec`,
/// `sha256:ac8dc098eb85ce9d4265ab73b646ef027fba993da928c751534047512dc81093` of labels in packs.
pub const SMALL_NETS: [Case; 6] = [
    Case {
        name: "odd net",
        config: SMALL,
        images: 150,
        height: 9,
        width: 7,
        classes: 0,
        average: None,
        digests: &[
            (100, digest("sha256:5711b9e60e50f0c6da10d3b2fb39d2aaceaad80ac7aca7d69a223c1e4f290e87")),
            (300, digest("sha256:6af5c91cb20349f732cf1f7bb8f6809fbeaea3d1464e3596831c9f5751b9f825")),
        ],
    },
    Case {
        name: "batch of one",
        config: Config { batch_size: 1, discriminator_hidden: 17, validation: 0, seed: 42, ..SMALL },
        images: 20,
        height: 9,
        width: 7,
        classes: 0,
        average: None,
        digests: &[(300, digest("sha256:182e8724403efa30cbf6ed37495c799e9e0c7253fdfb3181c2b79d60a319a0db"))],
    },
    Case {
        name: "fast learner",
        config: FAST,
        images: 60,
        height: 11,
        width: 13,
        classes: 0,
        average: None,
        digests: &[(300, digest("sha256:7ddaedb3d2a12f1277e34b20161028e97b903963d8168834b56fe51cf41877f1"))],
    },
    Case {
        name: "labelled net",
        config: Config { labels: true, average: 0.99, ..SMALL },
        images: 150,
        height: 9,
        width: 7,
        classes: 3,
        digests: &[(300, digest("sha256:8fd4de6ebcd12b10e81985c9a21835a63aace03e531a36c1d22596363bd86655"))],
        average: Some(digest("sha256:9fade0468f05db8788ac2d0e26eb2d0d68bb37cbaf668aff9efbfb568772ba43")),
    },
    Case {
        name: "packed net",
        config: Config { batch_size: 36, pack: 2, average: 0.9, ..SMALL },
        images: 150,
        height: 9,
        width: 7,
        classes: 0,
        digests: &[(300, digest("sha256:71c724581b391d1b614ee3cf3d4a4f93acb89c6cbd8f5eca4b244d1fd1a6c5ba"))],
        average: Some(digest("sha256:1425b33efb27213aed119f52d33b9ef7c09fdbeda33a4e328131f3f0584afcf7")),
    },
    Case {
        name: "labels in packs",
        config: Config { labels: true, pack: 4, average: 0.999, ..FAST },
        images: 60,
        height: 11,
        width: 13,
        classes: 5,
        digests: &[(300, digest("sha256:acb33a410f8dcdcef5d690131483294f3fa2d373b56bbe9b4e26dd2fb31507ec"))],
        average: Some(digest("sha256:ac8dc098eb85ce9d4265ab73b646ef027fba993da928c751534047512dc81093")),
    },
];

/// The shape of the default run, on made-up images.
pub const REAL_SHAPE: Case = Case {
    name: "real shape",
    config: Config {
        latent_size: 100,
        generator_hidden: 256,
        discriminator_hidden: 256,
        batch_size: 128,
        validation: 100,
        seed: 42,
        ..SMALL
    },
    images: 1_000,
    height: 28,
    width: 28,
    classes: 0,
    average: None,
    digests: &[
        (3, digest("sha256:f72f928a43e69b68e7deadcae59ca652851b166db1449883d7ec73f2d1370721")),
        (300, digest("sha256:702b9ee223d0f01ab32e5d80d1502f00e0067c8a40fcbcc608b0546f581981dd")),
    ],
};

/// What each function and kernel makes of the fixed inputs of `duel verify`: name and digest.
pub const KERNELS: [(&str, Digest); 24] = [
    ("emulated fma", digest("sha256:84188dd9f9bc4eb2cb516259e0c34c972020c2ffb6e9592682141d5e02539409")),
    ("ln", digest("sha256:430cfea866ae373479d1ab6c8251cb6b2675a1889a53d451fd518c49de0b56e8")),
    ("exp", digest("sha256:7feca2b5837b2e8fdc9051a3f30323fc595082945f4ec764b8b8760313c41920")),
    ("sigmoid", digest("sha256:e3475c9b445b66cbd099e09d72177877fb5a7abc671447e217c124daeed9fbc3")),
    ("output sigmoid", digest("sha256:794e5b3cec752c36adb0a30d8ee033662856ce4738b914c8998f48ed90ea39d7")),
    ("softplus", digest("sha256:3030ada730e1f3b6a4384d4c113788ba6f86a339b9a9cb6cdbc8a4fe45ae248d")),
    ("product by rows", digest("sha256:b904789ae482fbe5c430598f942d2907959d60e0da48f4ea64579e187ffa09d5")),
    ("product by columns", digest("sha256:3570c191e3b34d67443c059fe895dfa19e4f74576d3898011576954555dc492f")),
    ("lists of terms", digest("sha256:87814727b6cb9395105a027d6a1249a6a1b9902e7f5089e8586c35c919b0ab2b")),
    ("count of pairs", digest("sha256:de26a4170d5e31a20a4f624be8067c89aacac39db2a413d488b72fbb41340d23")),
    ("product over lists", digest("sha256:b904789ae482fbe5c430598f942d2907959d60e0da48f4ea64579e187ffa09d5")),
    ("hidden activation", digest("sha256:9c43245071c9de256ecd5fda2c031d7c3040a77d77a7a10579f56d590203c94f")),
    ("pixel activation", digest("sha256:1f607de1ed929ad493552c1b638b68021fbaf9335bc4212616b8e9df24456e9c")),
    ("pixel backward", digest("sha256:7b3cab154cc5fc528ffbe9799f5ce9a7185e7280c2c999a7b3cc632ab394af46")),
    ("hidden backward", digest("sha256:4af7488c8970e6df44591fc7ab13916eb71da3a229359a8361e88c69b7af27cb")),
    ("logits", digest("sha256:a455e6a0a2d69182f38122339f55b4bc6dee34691964f5b1fa4dc1f40fcfbce3")),
    ("cross entropy", digest("sha256:691f49a9f47f94274f96b382e8440aaf968b4dbab7b098fb4f2ed53e0ceb6cde")),
    ("logit backward", digest("sha256:a93125b59fee82a05eda9b8b97f231557d6440fa2bfb466d2b26ca8a6a8b84cb")),
    ("column sums", digest("sha256:56f50bc28ace91eb5371035ed1dbb3b88ad3581a790a1fe28aba1fd218e4b7ef")),
    ("transposition", digest("sha256:28936df607ba8237d5eb66f3ac4f513f14805f645d13d448b9232e4b17ba408e")),
    ("adam", digest("sha256:24ffc8e8819a8b61e4be85ce1fea39fd2e0a29fa3e86c421f450783dac403231")),
    ("average", digest("sha256:1effb45a20cd2b5f345c1e0e35a677e33500adcc5d73d05b324d0eaf1bb56da0")),
    ("image", digest("sha256:097a1715dd7776989dc3720826c0ef4a50d2a05d1a7780bfbf45994a0854fac7")),
    ("bytes", digest("sha256:c6aa478dc3db522999afbc41d6dfd09c3c42e54b19cd02ffd9ad4bfd8c298311")),
];

/// The published digest of a function or kernel.
pub fn kernel(name: &str) -> Option<Digest> {
    KERNELS.iter().find(|(kernel, _)| *kernel == name).map(|(_, digest)| *digest)
}
