import { xml, type XmlNode } from '../write-xml.ts'
import { childNamed, childrenNamed, childText, type XmlElement } from '../xml.ts'
import { readBounds, type JobBounds } from './job-bounds.ts'

/** What counts of an input template. */
export interface InputTemplate {
  /** How the job finds each of its input files, in their order. */
  readonly openNames: readonly string[]
  readonly bounds: JobBounds
}

/** What counts of an output template. */
export interface OutputTemplate {
  readonly openNames: readonly string[]
}

/** Reads `<input_template>`. */
export function readInputTemplate(template: XmlElement): InputTemplate {
  const workunit = childNamed(template, 'workunit')
  return { openNames: openNamesOf(workunit), bounds: readBounds(workunit) }
}

/** Reads `<output_template>`. */
export function readOutputTemplate(template: XmlElement): OutputTemplate {
  return { openNames: openNamesOf(childNamed(template, 'result')) }
}

function openNamesOf(element: XmlElement | undefined): readonly string[] {
  if (element === undefined) return []
  return childrenNamed(element, 'file_ref').map((reference) => childText(reference, 'open_name') ?? '')
}

/** The template of an app whose jobs find their input files under these names. */
export function inputTemplate(openNames: readonly string[], bounds: Required<JobBounds>): XmlNode {
  return xml(
    'input_template',
    ...openNames.map(() => xml('file_info')),
    xml(
      'workunit',
      ...openNames.map((name) => xml('file_ref', xml('open_name', name), xml('copy_file'))),
      xml('target_nresults', 1),
      xml('min_quorum', 1),
      xml('rsc_fpops_est', bounds.operationsEstimate),
      xml('rsc_fpops_bound', bounds.operationsBound),
      xml('rsc_disk_bound', bounds.diskBytes),
      xml('rsc_memory_bound', bounds.memoryBytes),
      xml('delay_bound', bounds.delaySeconds),
    ),
  )
}

/** The template of an app whose jobs leave these files. */
export function outputTemplate(openNames: readonly string[], mostBytes: number): XmlNode {
  return xml(
    'output_template',
    ...openNames.map((_, index) =>
      xml(
        'file_info',
        xml('name', xml(`OUTFILE_${index}`)),
        xml('generated_locally'),
        xml('upload_when_present'),
        xml('max_nbytes', mostBytes),
        xml('url', xml('UPLOAD_URL')),
      ),
    ),
    xml(
      'result',
      ...openNames.map((name, index) =>
        xml('file_ref', xml('file_name', xml(`OUTFILE_${index}`)), xml('open_name', name)),
      ),
    ),
  )
}
