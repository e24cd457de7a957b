/** The definition around the stages, as JSON Schema. `pipeline/definition.ts` puts stages and networks into it. */

import { amountPattern, bytesPattern } from '../pipeline/bytes.ts'

const phantoms = {
  type: 'object',
  additionalProperties: false,
  description: 'deterministic chest-like CTs with lesions, written on first use',
  properties: {
    training: { type: 'integer', minimum: 0, maximum: 10000, default: 24, description: 'number of training cases' },
    validation: { type: 'integer', minimum: 0, maximum: 10000, default: 4, description: 'number of validation cases' },
    testing: { type: 'integer', minimum: 0, maximum: 10000, default: 8, description: 'number of held-out cases' },
    seed: { type: 'integer', minimum: 0, default: 0, description: 'same seed, same bytes' },
    shape: {
      type: 'array',
      items: { type: 'integer', minimum: 16, maximum: 2048 },
      minItems: 3,
      maxItems: 3,
      default: [96, 96, 32],
      description: 'voxels along x, y, z',
    },
    folder: { type: 'string', description: 'where they are written; default: the cache folder of the user' },
  },
} as const

/** One pattern or several. */
const patterns = {
  type: ['string', 'array'],
  minLength: 1,
  items: { type: 'string', minLength: 1 },
  minItems: 1,
} as const

export const dataset = {
  type: 'object',
  additionalProperties: false,
  description: 'where the cases come from: exactly one of list, directory, files, phantoms',
  properties: {
    list: {
      type: 'string',
      description:
        'a Decathlon data list: {"training": [{"image", "label", "lungs", "prediction"}], "validation": [...], "testing": [...]}; what else an entry says, such as a "site", is kept for the report',
    },
    root: {
      type: 'string',
      description: "what the paths of list and files are relative to; default: the list's own folder, or this file's",
    },
    directory: {
      type: 'string',
      description: 'a folder of scans (.nii, .nii.gz, .hdr, folders of DICOM slices), searched recursively',
    },
    include: {
      ...patterns,
      description:
        'of a directory: which scans, as globs on paths below it, such as "**/*_ct.nii.gz"; a DICOM series goes by its folder',
    },
    exclude: { ...patterns, description: 'of a directory: which scans are left out, as globs' },
    files: {
      type: 'array',
      items: { type: 'string', minLength: 1 },
      minItems: 1,
      description: 'single scans: files, and folders of DICOM slices; relative paths are relative to "root"',
    },
    phantoms,
    section: {
      type: 'string',
      description:
        "which part of the list to run on; default: testing for infer and evaluate. Training takes 'training' and 'validation'",
    },
    predictions: {
      type: 'string',
      description:
        'for evaluate: the folder of masks, named as `save` names them; one that is not there counts as empty. Left out: the "prediction" of a list\'s entries',
    },
    lungs: {
      type: 'string',
      description: 'a folder of lung masks, named as `save` names masks: they tell on which side lesions lie',
    },
  },
} as const

/** The page that a run leaves, and what it is compared with. */
export const report = {
  type: 'object',
  additionalProperties: false,
  default: {},
  description: 'the page of an evaluation or a training, and its history',
  properties: {
    title: { type: 'string', minLength: 1, description: "the page's heading; default: the data set's name" },
    strata: {
      type: 'array',
      items: { type: 'string', minLength: 1 },
      uniqueItems: true,
      default: [],
      description: 'fields of the data list, such as "site", by which the cases are also summed up',
    },
    volumesMl: {
      type: 'array',
      items: { type: 'number', minimum: 0 },
      uniqueItems: true,
      default: [0, 1, 10, 100],
      description:
        'ml of lesion in the reference, ascending, at which groups of cases end: up to 0, up to 1, ..., above the last',
    },
    gallery: {
      type: 'integer',
      minimum: 0,
      maximum: 100,
      default: 6,
      description: 'how many of the worst cases are shown, and half as many around the median',
    },
    viewer: {
      type: 'array',
      items: { type: 'string', minLength: 1 },
      maxItems: 20,
      uniqueItems: true,
      default: [],
      description:
        'cases by id that the page shows in an interactive viewer (NiiVue); each adds its cropped scan to the file',
    },
    compareWith: {
      type: 'string',
      minLength: 1,
      default: 'previous',
      description:
        'the report that this one is compared with: "previous" is the newest of this output, "passed" the newest that missed no gate; "none", or the path of a report.json or its folder',
    },
    bootstrap: {
      type: 'integer',
      minimum: 100,
      maximum: 20000,
      default: 2000,
      description: 'resamplings for the 95 % intervals',
    },
    history: {
      type: 'string',
      minLength: 1,
      description:
        'the file to which each evaluation appends a line; default: history.jsonl in the output. Several runs may share one',
    },
    keep: {
      type: 'integer',
      minimum: 1,
      maximum: 100000,
      default: 60,
      description: 'how many reports stay in the output; older ones are removed',
    },
  },
} as const

const gates = {
  type: 'object',
  default: {},
  additionalProperties: { type: 'string' },
  description:
    'for evaluate: figures that must hold, such as {"dice.mean": ">= 0.70", "dice.mean.drop": "<= 0.02"}; a miss is exit code 4',
  examples: [{ 'dice.mean': '>= 0.70', 'dice.mean.drop': '<= 0.02', 'cases.missing': '<= 0' }],
} as const

const healthCheck = {
  type: 'string',
  pattern: '^https?://',
  description:
    'a URL that is asked at the start (/start), at success and at failure (/fail) of a run; whatever it answers, the run goes on',
} as const

export const envelope = {
  type: 'object',
  additionalProperties: false,
  required: ['task', 'dataset', 'stages', 'output'],
  properties: {
    $schema: { type: 'string', description: 'for editors' },
    description: { type: 'string', description: 'for people' },
    task: { enum: ['train', 'infer', 'evaluate'], description: 'what to do' },
    seed: {
      type: 'integer',
      minimum: 0,
      maximum: Number.MAX_SAFE_INTEGER,
      default: 0,
      description: 'same seed, same bytes',
    },
    memory: {
      type: ['string', 'integer'],
      pattern: bytesPattern,
      minimum: 1,
      default: 'auto',
      description:
        'bytes that volumes, caches and patches may take, such as "4GiB"; "auto" asks the container or the machine',
    },
    engine: {
      type: 'object',
      additionalProperties: false,
      default: {},
      description: 'where tensors are computed',
      properties: {
        backend: {
          enum: ['auto', 'native', 'webgpu', 'tensorflow', 'cpu'],
          default: 'auto',
          description:
            'auto takes a GPU (webgpu) where there is one, else native, and says why; one asked for by name is taken or refused. tensorflow needs a package that you add (docs/tensorflow.md); cpu is plain JavaScript, for comparison',
        },
        precision: {
          enum: ['float32', 'bfloat16', 'bfloat16-emulated', 'float16', 'float16-matrix'],
          default: 'float32',
          description:
            'of products in 3x3x3 convolutions; sums, weights and all else are float32. bfloat16 needs a processor that has it (avx512_bf16) and is faster; bfloat16-emulated rounds likewise anywhere, and is not; float16 is for GPUs that have it (shader-f16); float16-matrix has their matrix units multiply it, which is experimental',
        },
        threads: {
          type: ['integer', 'string'],
          pattern: '^auto$',
          minimum: 1,
          maximum: 256,
          default: 'auto',
          description:
            'threads of the native engine; "auto" is what the container or the machine offers, and more than that is slower',
        },
        adapter: {
          type: 'string',
          minLength: 1,
          description:
            'which GPU: a part of its name, as `run-pipeline devices` lists them; default: the first that is no software',
        },
        gpuMemory: {
          type: ['string', 'integer'],
          pattern: amountPattern,
          minimum: 1,
          description: 'bytes of the GPU that tensors may take at most, such as "14GiB"; default: what it has',
        },
      },
    },
    dataset,
    network: { type: 'object', description: 'the network; not needed where masks are only compared' },
    stages: { type: 'array', minItems: 1, description: 'what happens to every case, in order' },
    output: {
      type: 'string',
      minLength: 1,
      description: 'the folder of results; relative paths are relative to this file',
    },
    report,
    gates,
    healthCheck,
    onError: {
      enum: ['continue', 'stop'],
      default: 'continue',
      description: 'continue: a bad case is reported and counted, the run goes on; stop: it ends the run',
    },
    random: {
      enum: ['counter', 'numpy'],
      default: 'counter',
      description:
        "how crops and augmentations are drawn. counter: each draw depends on seed, epoch and case alone (Philox). numpy: as MONAI's Compose with this seed draws, to replay one of its runs (docs/replaying-monai.md); cases then pass in the list's order",
    },
  },
} as const
