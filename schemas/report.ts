/**
 * What an evaluation leaves for programs: `report.json`, from which the page, the table and the figures for monitoring are
 * made. `report.schema.json` is generated from this and checked in. An infinite figure is the text "inf", one that is not
 * defined is null.
 */

import type { FromSchema } from 'json-schema-to-ts'

export const reportFormat = 'ctflow-report-1'

const figure = {
  anyOf: [{ type: 'number' }, { type: 'null' }, { enum: ['inf', '-inf'] }],
} as const

/** Metrics of a case by name. */
const figures = { type: 'object', additionalProperties: figure } as const

const count = { type: 'integer', minimum: 0 } as const
const text = { type: 'string' } as const
const texts = { type: 'array', items: text } as const
const hash = { type: ['string', 'null'], description: 'SHA-256 in hexadecimal digits' } as const

const distribution = {
  type: 'object',
  additionalProperties: false,
  required: ['mean', 'median', 'min', 'max', 'sd', 'cases', 'infinite', 'undefined', 'low', 'high'],
  properties: {
    mean: figure,
    median: figure,
    min: figure,
    max: figure,
    sd: { ...figure, description: 'standard deviation over the cases, n - 1' },
    cases: { ...count, description: 'cases for which the metric is defined' },
    infinite: { ...count, description: 'of them, those with an infinite value' },
    undefined: { ...count, description: 'cases for which it is not' },
    low: { ...figure, description: 'lower end of the 95 % interval of the mean: seeded bootstrap over cases' },
    high: { ...figure, description: 'its upper end' },
  },
} as const

const distributions = { type: 'object', additionalProperties: distribution } as const

const aCase = {
  type: 'object',
  additionalProperties: false,
  required: ['case', 'isMissing', 'fields', 'metrics', 'monai', 'strict'],
  properties: {
    case: { ...text, description: "the case's id" },
    isMissing: { type: 'boolean', description: 'there was no mask: it counts as an empty one' },
    fields: {
      type: 'object',
      additionalProperties: text,
      description: 'what else the data list says of the case, such as where it comes from',
    },
    metrics: { ...figures, description: 'by the rule for empty masks that the definition chose' },
    monai: { ...figures, description: "by MONAI's rule, those metrics whose value depends on the rule" },
    strict: { ...figures, description: 'the same metrics by the strict rule' },
    image: { ...text, description: 'the files, as the data set names them' },
    label: text,
    prediction: text,
  },
} as const

const stratum = {
  type: 'object',
  additionalProperties: false,
  required: ['by', 'groups'],
  properties: {
    by: { ...text, description: 'referenceMl, or a field of the data list' },
    groups: {
      type: 'array',
      items: {
        type: 'object',
        additionalProperties: false,
        required: ['name', 'cases', 'summary'],
        properties: { name: text, cases: count, summary: distributions },
      },
    },
  },
} as const

const paired = {
  type: 'object',
  additionalProperties: false,
  required: ['cases', 'difference', 'low', 'high', 'p', 'better', 'worse', 'equal'],
  properties: {
    cases: { ...count, description: 'cases that both runs have, with a finite value in each' },
    difference: { ...figure, description: 'mean of this run minus the earlier one, over these cases' },
    low: { ...figure, description: 'lower end of its 95 % interval: seeded bootstrap over pairs' },
    high: { ...figure, description: 'its upper end' },
    p: { ...figure, description: 'two-sided, of the test that `test` names; null where all pairs are equal' },
    better: { ...texts, description: 'cases, those that changed most first' },
    worse: { ...texts, description: 'likewise' },
    equal: count,
  },
} as const

const comparison = {
  type: 'object',
  additionalProperties: false,
  required: ['with', 'created', 'test', 'metrics', 'onlyNow', 'onlyBefore', 'differs'],
  properties: {
    with: { ...text, description: 'the id of the earlier report, or its path' },
    created: text,
    test: { ...text, description: 'the name of the significance test' },
    metrics: { type: 'object', additionalProperties: paired },
    onlyNow: { ...texts, description: 'cases that the earlier run did not have' },
    onlyBefore: texts,
    differs: {
      type: 'array',
      items: { enum: ['data', 'model', 'definition', 'emptyRule'] },
      description: 'what was not the same in both runs',
    },
  },
} as const

const gate = {
  type: 'object',
  additionalProperties: false,
  required: ['figure', 'rule', 'value', 'passed', 'note'],
  properties: {
    figure: { ...text, description: 'such as dice.mean or dice.mean.drop' },
    rule: { ...text, description: 'such as ">= 0.70"' },
    value: figure,
    passed: { type: 'boolean' },
    note: { ...text, description: 'what people should know of it; may be empty' },
  },
} as const

/** One line of a history: what an evaluation found, without its cases. */
export const historyRecord = {
  type: 'object',
  additionalProperties: false,
  required: [
    'format',
    'id',
    'created',
    'title',
    'data',
    'model',
    'definition',
    'emptyRule',
    'cases',
    'figures',
    'gates',
  ],
  properties: {
    format: { const: 'ctflow-history-1' },
    id: { ...text, description: "the report's folder" },
    created: { ...text, description: 'ISO 8601' },
    title: text,
    data: { ...hash, description: 'of the list of cases and the content of their references' },
    model: { ...hash, description: 'of the file of weights; null where masks were compared' },
    definition: hash,
    emptyRule: { enum: ['strict', 'monai'] },
    cases: {
      type: 'object',
      additionalProperties: false,
      required: ['evaluated', 'missing', 'failed'],
      properties: { evaluated: count, missing: count, failed: count },
    },
    figures: {
      type: 'object',
      description: 'by metric',
      additionalProperties: {
        type: 'object',
        additionalProperties: false,
        required: ['mean', 'median', 'low', 'high'],
        properties: { mean: figure, median: figure, low: figure, high: figure },
      },
    },
    gates: { ...texts, description: 'gates that were missed' },
  },
} as const

export const reportSchema = {
  $schema: 'http://json-schema.org/draft-07/schema#',
  title: 'ctflow evaluation report',
  type: 'object',
  additionalProperties: false,
  required: [
    'format',
    'id',
    'title',
    'created',
    'run',
    'data',
    'emptyRule',
    'metrics',
    'summary',
    'monai',
    'strict',
    'strata',
    'comparison',
    'gates',
    'history',
    'cases',
    'worst',
    'failures',
  ],
  properties: {
    format: { const: reportFormat },
    id: { ...text, description: 'the name of its folder; ascending in time' },
    title: text,
    created: { ...text, description: 'ISO 8601' },
    run: {
      type: 'object',
      additionalProperties: false,
      required: ['ctflow', 'definition', 'model', 'seed', 'engine', 'seconds', 'peakRssBytes'],
      properties: {
        ctflow: text,
        definition: hash,
        model: hash,
        seed: count,
        engine: { type: ['string', 'null'], description: 'backend, precision, device; null where masks were compared' },
        seconds: { type: 'number' },
        peakRssBytes: count,
      },
    },
    data: {
      type: 'object',
      additionalProperties: false,
      required: ['name', 'hash', 'cases', 'missing'],
      properties: {
        name: text,
        hash,
        cases: { ...count, description: 'listed' },
        missing: { ...texts, description: 'cases without a mask' },
      },
    },
    emptyRule: { enum: ['strict', 'monai'] },
    metrics: {
      type: 'object',
      description: 'what the names mean, in the order in which they are shown',
      additionalProperties: {
        type: 'object',
        additionalProperties: false,
        required: ['label', 'unit', 'better'],
        properties: {
          label: { ...text, description: 'for people' },
          unit: { ...text, description: 'empty for a share from 0 to 1 and for counts' },
          better: {
            enum: ['higher', 'lower', 'nearer-zero', 'neither'],
            description: 'which way is good; neither for what is only described',
          },
        },
      },
    },
    summary: { ...distributions, description: 'over the cases, by metric, by the rule that was chosen' },
    monai: { ...distributions, description: "by MONAI's rule for empty masks, those metrics that depend on it" },
    strict: { ...distributions, description: 'the same metrics by the strict rule' },
    strata: { type: 'array', items: stratum },
    comparison: { anyOf: [{ type: 'null' }, comparison] },
    gates: { type: 'array', items: gate },
    history: { type: 'array', items: historyRecord, description: 'earlier records and this one, oldest first' },
    cases: { type: 'array', items: aCase, description: 'in the order of the data set' },
    worst: { ...texts, description: 'all cases, worst first by the first metric' },
    failures: {
      type: 'array',
      description: 'cases that could not be evaluated',
      items: {
        type: 'object',
        additionalProperties: false,
        required: ['case', 'stage', 'code', 'reason'],
        properties: { case: text, stage: text, code: text, reason: text },
      },
    },
  },
} as const

export type Report = FromSchema<typeof reportSchema>
export type HistoryRecord = FromSchema<typeof historyRecord>
export type Figure = FromSchema<typeof figure>
export type Spread = FromSchema<typeof distribution>
export type ReportedCase = Report['cases'][number]
