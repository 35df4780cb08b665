// A client in Node, built from the small contract in chat.proto beside it: two fields, no metadata.
// Run it: node node_client.js ADDRESS NAME. Lines of standard input are said; what is heard is
// printed as JSON, a line each. The end of input half-closes; `ended CODE` is the status.
'use strict'

const path = require('node:path')
const readline = require('node:readline')
const grpc = require('@grpc/grpc-js')
const protoLoader = require('@grpc/proto-loader')

const [address, name] = process.argv.slice(2)
const contract = protoLoader.loadSync(path.join(__dirname, 'chat.proto'), { keepCase: true })
const { ChatService } = grpc.loadPackageDefinition(contract)
const client = new ChatService(address, grpc.credentials.createInsecure())
const stream = client.Chat()

stream.on('data', (message) => console.log(JSON.stringify(message)))
stream.on('error', () => {}) // the status says it all
stream.on('status', (status) => {
  console.log(`ended ${status.code}`)
  client.close()
})

const input = readline.createInterface({ input: process.stdin })
input.on('line', (line) => stream.write({ user: name, message: line }))
input.on('close', () => stream.end())
