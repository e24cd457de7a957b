#!/usr/bin/env node
/** The command line: one function per subcommand, in a file of its own. */

import { Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import { devicesCommand, type DevicesFlags } from './devices.ts'
import { explainCommand, validateCommand, type ExplainFlags } from './explain.ts'
import { exportCommand, type ExportFlags } from './export.ts'
import { readImported } from '../interop/import-checkpoint.ts'
import { historyCommand, type HistoryFlags } from './history.ts'
import { importMmarCommand, type ImportMmarFlags } from './import-mmar.ts'
import { importCommand, type ImportFlags } from './import.ts'
import { mergeCommand, type MergeFlags } from './merge.ts'
import { ended, runCommand, type RunFlags } from './run.ts'
import { version } from '../pipeline/version.ts'

// Whoever reads our output may leave (`| head`, a closed connection): the run goes on, and its results are in its folder.
for (const out of [process.stdout, process.stderr]) out.on('error', () => {})

/** Gathers an option that may be repeated. */
function collect(value: string, all: readonly string[]): string[] {
  return [...all, value]
}

function wholeNumber(value: string): number {
  if (!/^[1-9]\d{0,8}$/.test(value)) throw new InvalidArgumentError('expected a whole number from 1 up')
  return Number(value)
}

const set = [
  '--set <path=value>',
  'override a field, such as stages.crop.size=[96,96,16]; may be repeated',
  collect,
  [] as readonly string[],
] as const
const json = ['--json', 'print one JSON object on standard output at the end, and nothing else there'] as const
const force = ['--force', 'write over files that are there'] as const
const definition = [
  '--definition <file>',
  'take the "network" of this definition, where the weights do not say',
] as const

const program = new Command('run-pipeline')
  .description('Trains, runs and evaluates 3-D CT segmentation networks from a JSON definition.')
  .usage('<definition.json> [options], or one of the commands below')
  .version(version(), '--version', 'print the version')
  .exitOverride()

program
  .command('run', { isDefault: true })
  .description('train, infer or evaluate, as the definition\'s "task" says; the word "run" may be left out')
  .argument('<definition.json>', 'the definition')
  .option(...set)
  .option(...json)
  .addOption(
    new Option('--progress <mode>', 'how progress is shown on standard error').choices([
      'tty',
      'plain',
      'json',
      'none',
    ]),
  )
  .addOption(
    new Option('--quiet', 'print nothing where all went well, and all there is to say where it did not').conflicts(
      'progress',
    ),
  )
  .option('--resume', 'for infer: what an earlier run has done, with the same scans, model and definition, stays done')
  .option(
    '--shard <i/n>',
    'for infer: take part i of n of the cases; default: as a Slurm array or a Kubernetes indexed job says, 1/1 for all',
  )
  .action(async (file: string, flags: RunFlags) => void (process.exitCode = await runCommand(file, flags)))

program
  .command('explain')
  .description('what a run would do: shapes, memory, time and what looks wrong, from headers and a short calibration')
  .argument('<definition.json>', 'the definition')
  .option(...set)
  .option('--labels', 'look into every label, not only into some, for those without lesion')
  .option(...json)
  .action(async (file: string, flags: ExplainFlags) => void (process.exitCode = await explainCommand(file, flags)))

program
  .command('validate')
  .description('whether a definition can run, as far as no data is read')
  .argument('<definition.json>', 'the definition')
  .option(...set)
  .option(...json)
  .action(async (file: string, flags: ExplainFlags) => void (process.exitCode = await validateCommand(file, flags)))

program
  .command('devices')
  .description('what networks can be computed on here: GPUs, the processor, TensorFlow; and which of them "auto" takes')
  .option(...json)
  .action(async (flags: DevicesFlags) => void (process.exitCode = await devicesCommand(flags)))

program
  .command('merge')
  .description('the manifests of shards become one, with one summary')
  .argument('<output>', 'the output folder that the shards share')
  .option(...json)
  .action(async (output: string, flags: MergeFlags) => void (process.exitCode = await mergeCommand(output, flags)))

program
  .command('history')
  .description('what evaluations have found over time: a table and a curve')
  .argument('<history>', 'a history.jsonl, or the output folder of evaluations that holds one')
  .option('--metric <name>', 'which metric, such as hd95', 'dice')
  .option('--last <n>', 'how many of the newest', wholeNumber, 20)
  .option('--title <title>', 'only evaluations of this title, where several share the history')
  .option(...json)
  .action(async (path: string, flags: HistoryFlags) => void (process.exitCode = await historyCommand(path, flags)))

program
  .command('import')
  .description("PyTorch's weights to .safetensors and the network's definition; nothing in the file is executed")
  .argument('<checkpoint>', 'a .pt file, in the zip or the legacy format')
  .option('--out <file>', 'the .safetensors file to write; default: beside the checkpoint')
  .option(...definition)
  .option(...force)
  .option(...json)
  .action(async (path: string, flags: ImportFlags) => void (process.exitCode = await importCommand(path, flags)))

program
  .command('import-mmar')
  .description('a Clara MMAR folder to definitions and weights; says what it took, what it replaced, what it could not')
  .argument('<folder>', 'the folder that holds config/ and models/')
  .option('--out <folder>', 'where to write; default: its name, in the current folder')
  .option('--set <key=value>', 'as --set of the package: overrides one of its variables; may be repeated', collect, [])
  .option('--script <name>', "take the overrides of one of the package's own scripts, such as train_multi_gpu.sh")
  .option('--config <file>', 'the training configuration; default: config/config_train.json')
  .option(...force)
  .option(...json)
  .action(
    async (folder: string, flags: ImportMmarFlags) =>
      void (process.exitCode = await importMmarCommand(folder, flags, readImported)),
  )

program
  .command('export')
  .description('weights as .pt, .safetensors or .onnx, as the name to write ends')
  .argument('<checkpoint>', 'a .safetensors or .pt file')
  .argument('<out>', 'the file to write')
  .option('--bare', 'for .pt: the state_dict alone')
  .option(...definition)
  .option(...force)
  .option(...json)
  .action(
    async (path: string, out: string, flags: ExportFlags) =>
      void (process.exitCode = await exportCommand(path, out, flags)),
  )

program.addHelpText(
  'after',
  '\nExit codes: 0 ok, 1 failed, 2 definition refused, 3 some cases failed, 4 a gate was missed, 75 locked, 130/143 ended by a signal.',
)

try {
  await program.parseAsync()
} catch (error) {
  if (!(error instanceof CommanderError)) throw error
  process.exitCode = error.exitCode === 0 ? 0 : 2
  if (process.exitCode === 2 && process.argv.includes('--json'))
    console.log(JSON.stringify(ended('refused', 2, error.message)))
}
