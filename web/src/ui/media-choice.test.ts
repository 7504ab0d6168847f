import { expect, it } from 'vitest';
import { processingOf } from './media-choice';

it('reads how sound was processed, and nothing else', () => {
  expect(processingOf('{"noiseSuppression":false,"echoCancellation":true}')).toEqual({
    noiseSuppression: false,
    echoCancellation: true,
  });
  for (const text of [undefined, '', '{', 'null', '7', '[]', '{"noiseSuppression":"no","other":true}']) {
    expect(processingOf(text), text).toEqual({});
  }
});
