#!/bin/bash
#$ -N b-7f3a
#$ -t 1-3
#$ -r n
#$ -w e
#$ -notify
#$ -S /bin/bash
#$ -wd /home/ada/b-7f3a
#$ -o /home/ada/b-7f3a/log
#$ -j y
#$ -q all.q,long.q
#$ -P physics
#$ -pe shared 4
#$ -l h_rt=5400
#$ -l h_vmem=1024M
#$ -l gpu=1
#$ -l hostname=node7
#$ -m e
exit 0
