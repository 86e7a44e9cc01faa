/** Strokes that are not saved yet, kept in this browser: a crash of the server or the browser loses none. */

export interface Draft {
  revision: number;
  basedOn: number | undefined;
  origin: string;
  at: string;
  packed: Uint8Array<ArrayBuffer>;
}

const STORE = "drafts";

function open(): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open("preop-review", 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

async function run<T>(mode: IDBTransactionMode, work: (store: IDBObjectStore) => IDBRequest<T>): Promise<T> {
  const database = await open();
  try {
    return await new Promise((resolve, reject) => {
      const transaction = database.transaction(STORE, mode);
      const request = work(transaction.objectStore(STORE));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onerror = () => reject(transaction.error);
    });
  } finally {
    database.close();
  }
}

export const keepDraft = (key: string, draft: Draft): Promise<unknown> =>
  run("readwrite", (store) => store.put(draft, key));

export const findDraft = (key: string): Promise<Draft | undefined> => run("readonly", (store) => store.get(key));

export const dropDraft = (key: string): Promise<unknown> => run("readwrite", (store) => store.delete(key));
