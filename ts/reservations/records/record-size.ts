/** What is too large to be read again is not written. */
import { StompError } from '../../errors.js';
import { maxRecordBytes, recordText, type StoredRecord } from './records.js';

/**
 * @returns the text of the record
 * @throws StompError PAYLOAD_TOO_LARGE
 */
export function checkSize(stored: StoredRecord): string {
  const text = recordText(stored);
  if (text.length <= maxRecordBytes) return text;
  throw new StompError(
    'PAYLOAD_TOO_LARGE',
    `The record has ${text.length} bytes; at most ${maxRecordBytes} are kept. Name fewer addresses, or whole files.`,
    { fields: { bytes: text.length, max_bytes: maxRecordBytes } },
  );
}
